//! Requests without a browser: headers, cookies, roles, forged forms, odd texts, paging.

use serde_json::json;

use super::form::{Visitor, hidden, link};
use super::{HOME, ONE, end_session, more_tokens, two_sessions};
use crate::harness::{Home, message};
use crate::serve::{Serve, spend};

#[test]
fn pages_load_only_files_of_this_server() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &[]);
    let root = serve.get("/");
    assert_eq!((root.status, root.header("location")), (303, HOME));
    for path in
        [HOME, "/cost-dashboard/sessions", "/cost-dashboard/session/session-one", "/cost-dashboard/sign-in"]
    {
        let page = serve.get(path);
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        for forbidden in ["style=", "<style", "onclick", "<script>", "http://", "javascript:"] {
            assert!(!page.body.contains(forbidden), "{path}: {forbidden}");
        }
        let files = page.body.split('"').filter(|part| part.starts_with("/cost-dashboard/assets/"));
        let files: Vec<&str> = files.collect();
        assert_eq!(files.len(), 3, "{files:?}");
        for file in files {
            let answer = serve.get(file);
            assert_eq!(answer.status, 200, "{file}");
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
            let kind = if file.ends_with(".css") {
                "text/css; charset=utf-8"
            } else {
                "text/javascript; charset=utf-8"
            };
            assert_eq!(answer.header("content-type"), kind);
        }
    }
    assert_eq!(serve.get("/favicon.svg").header("content-type"), "image/svg+xml");
    for path in [
        "/cost-dashboard/assets/dashboard.css",
        "/cost-dashboard/nothing",
        "/cost-dashboard/session/nobody",
        "/cost-dashboard/session/%00%ff",
    ] {
        let status = serve.get(path).status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
}

#[test]
fn the_overview_says_where_budgets_breakers_and_alerts_stand() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--import-every", "0"]);
    let page = serve.get(HOME).body;
    for said in [
        "1,450 / 1,000 tokens (145.00%)",
        "100 / 1,000 tokens (10.00%)",
        "<span class=\"badge paused\">Paused</span>",
        "<rect class=\"fill red\" width=\"100.00\"",
        "<rect class=\"fill green\" width=\"10.00\"",
        "<div><span>Input</span> <span>1,450</span></div>",
        "<span>Cache reads</span> <span>20, not counted</span>",
        "<span>Hard limit</span> <span>2,000 tokens</span>",
        "5 times in a row (Bash; trips at 5)</span>",
        "<span title=\"Signature of the call: ",
        "4 unacknowledged",
        "session passed 80% of 1,000 tokens (1,450 tokens used)",
        "1 at limit",
        "1 open",
        "The ledger has no spend",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Extending helps only where a limit was reached.
    assert_eq!(page.matches("href=\"/cost-dashboard/budget/").count(), 3, "{page}");
    assert_eq!(page.matches("/extend?back=").count(), 2, "as an address, and for the script: {page}");
    let session = serve.get(&link(&page, "/session/session%2Done")).body;
    for said in [
        "Tokens by class",
        "1,450",
        "1 denied",
        "Bash: the circuit breaker was open",
        "Breaker opened",
        "Budget alert",
        "session passed 80% of 1,000 tokens (1,450 tokens used)",
    ] {
        assert!(session.contains(said), "{said}: {session}");
    }
    assert!(!session.contains(", signature "), "{session}");
    // Alerts are listed with what they are about only.
    assert!(!serve.get("/cost-dashboard/session/session-two").body.contains("Budget alert"));
    assert!(serve.get("/cost-dashboard/sessions").body.contains("2 live, 2 in all"));
}

#[test]
fn a_cookie_is_only_for_this_server_and_no_script_reads_it() {
    let home = Home::new();
    let serve = Serve::start(&home, &[]);
    let signed_in = Visitor::new(&serve).sign_in(&serve.token());
    let set = signed_in.headers.iter().find(|(name, _)| name == "set-cookie").unwrap();
    assert!(set.1.ends_with("; Path=/cost-dashboard; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set:?}");
    assert!(!set.1.contains(&serve.token()), "{set:?}");
    drop(serve);
    let serve = Serve::start(&home, &["--behind-proxy"]);
    let signed_in = Visitor::new(&serve).sign_in(&serve.token());
    let set = signed_in.headers.iter().find(|(name, _)| name == "set-cookie").unwrap();
    assert!(set.1.ends_with("; SameSite=Strict; Secure"), "{set:?}");
    let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
    let secret = set.1.split(['=', ';']).nth(1).unwrap();
    assert!(!log.contains(secret) && !log.contains(&serve.token()), "{log}");
}

#[test]
fn who_may_not_read_or_decide_is_sent_to_the_sign_in_and_back() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &[]);
    let extend = link(&serve.get(HOME).body, "/extend");
    let refused = serve.get(&extend);
    assert_eq!(refused.status, 303);
    let target = refused.header("location").to_owned();
    assert!(target.starts_with("/cost-dashboard/sign-in?back=%2Fcost%2Ddashboard%2Fbudget%2F"), "{target}");
    // A script would put the page into the other one.
    let refused = serve.request("GET", &extend, &[("HX-Request", "true")], b"");
    assert_eq!((refused.status, refused.header("hx-redirect")), (401, target.as_str()));
    let visitor = Visitor::new(&serve);
    let form = visitor.get(&target).body;
    let (csrf, back) =
        (hidden(&form, "csrf"), hidden(&form, "back").replace("&#38;", "&").replace("&amp;", "&"));
    assert_eq!(back, extend);
    let token = serve.token();
    let signed_in =
        visitor.post("/cost-dashboard/sign-in", &[("csrf", &csrf), ("token", &token), ("back", &back)]);
    assert!(visitor.follow(&signed_in).body.contains("Extend the budget"));
    drop(serve);
    let serve = Serve::start(&home, &["--require-token"]);
    for path in [HOME, "/cost-dashboard/sessions", "/cost-dashboard/session/session-one"] {
        let refused = serve.get(path);
        assert_eq!(refused.status, 303, "{path}");
        assert!(refused.header("location").starts_with("/cost-dashboard/sign-in?back="), "{refused:?}");
        assert!(!refused.body.contains("session-one"), "{refused:?}");
    }
    assert_eq!(Visitor::signed_in(&serve, &serve.token()).get(HOME).status, 200);
}

#[test]
fn a_viewer_reads_and_a_token_for_telemetry_does_not_sign_in() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &["--require-token"]);
    let [viewer, ingest, alice] = more_tokens(&home, &serve.token());
    let reader = Visitor::signed_in(&serve, &viewer);
    let page = reader.get(HOME).body;
    assert!(page.contains("1,450 / 1,000 tokens") && page.contains("Sign out"), "{page}");
    for action in ["/extend", "/reset", "acknowledge"] {
        assert!(!page.contains(&format!("{action}?back=")) && !page.contains("id=\"acknowledge"), "{page}");
    }
    let operator = Visitor::signed_in(&serve, &alice);
    let page = operator.get(HOME).body;
    assert!(page.contains("<b>alice</b>"), "{page}");
    let extend = link(&page, "/extend");
    let path = extend.split('?').next().unwrap();
    assert_eq!(reader.get(&extend).status, 403);
    let csrf = reader.csrf();
    let refused = reader.post(path, &[("csrf", &csrf), ("amount", "5"), ("reason", "x")]);
    assert_eq!(refused.status, 403);
    let refused = Visitor::new(&serve).sign_in(&ingest);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may only send telemetry"), "{refused:?}");
    // A token that is withdrawn ends its sign-ins.
    std::fs::write(home.path("tokens"), format!("{}\n", serve.token())).unwrap();
    assert_eq!(operator.get(HOME).status, 303);
    // So does one that may no longer read.
    std::fs::write(home.path("tokens"), format!("{}\ningest {viewer}\n", serve.token())).unwrap();
    assert_eq!(reader.get(HOME).status, 303);
}

#[test]
fn a_forged_form_changes_nothing() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &[]);
    let operator = Visitor::signed_in(&serve, &serve.token());
    let page = operator.get(HOME).body;
    let csrf = operator.csrf();
    let path_of = |part| link(&page, part).split('?').next().unwrap().to_owned();
    let of_other = Visitor::signed_in(&serve, &serve.token()).csrf();
    for path in [
        path_of("/extend"),
        path_of("/budget/"),
        path_of("/circuit/"),
        format!("{HOME}/alerts/acknowledge"),
        format!("{HOME}/alerts/1/acknowledge"),
    ] {
        let fields =
            |csrf| [("csrf", csrf), ("amount", "5"), ("reason", "x"), ("newest", "9"), ("back", HOME)];
        for wrong in ["", "x", &of_other] {
            assert_eq!(operator.post(&path, &fields(wrong)).status, 403, "{path}");
        }
        let elsewhere = [("Origin", "http://evil.example")];
        assert_eq!(operator.post_with(&path, &fields(&csrf), &elsewhere).status, 403, "{path}");
        assert_eq!(Visitor::new(&serve).post(&path, &fields(&csrf)).status, 303, "{path}");
    }
    assert_eq!(operator.post("/cost-dashboard/sign-out", &[("csrf", "x")]).status, 403);
    // Signing in, too: another site could make someone decide under its own name.
    let forged =
        Visitor::new(&serve).post("/cost-dashboard/sign-in", &[("csrf", "x"), ("token", &serve.token())]);
    assert_eq!(forged.status, 403);
    let budgets = serve.get("/api/budget").json();
    assert_eq!(budgets["budgets"][0]["extension"], 0, "{budgets}");
    assert_eq!(serve.get("/api/budget/alerts?acknowledged=false").json()["total"], 4);
    assert_eq!(serve.get("/api/circuit?state=open").json()["total"], 1);
}

#[test]
fn a_form_that_is_sent_twice_counts_once_and_its_result_is_shown_once() {
    let home = Home::new();
    two_sessions(&home);
    let serve = Serve::start(&home, &[]);
    let [_, _, alice] = more_tokens(&home, &serve.token());
    let operator = Visitor::signed_in(&serve, &alice);
    let extend = link(&operator.get("/cost-dashboard?sort=used").body, "/extend");
    let form = operator.get(&extend).body;
    assert!(form.contains("at most 1,000 (hard limit 2,000 tokens)"), "{form}");
    let (csrf, key, back) = (hidden(&form, "csrf"), hidden(&form, "key"), hidden(&form, "back"));
    let path = extend.split('?').next().unwrap();
    let send = |amount: &str, reason: &str| {
        let fields =
            [("csrf", csrf.as_str()), ("key", &key), ("back", &back), ("amount", amount), ("reason", reason)];
        operator.post(path, &fields)
    };
    for (amount, reason, status, said) in [
        ("", "x", 400, "a number of tokens, such as 50000"),
        ("-5", "x", 400, "a number of tokens"),
        ("0", "x", 400, "greater than 0"),
        ("$5", "x", 400, "a number of tokens"),
        ("300", " ", 400, "a reason is required"),
        ("1001", "x", 409, "can be extended by at most 1000"),
    ] {
        let refused = send(amount, reason);
        assert_eq!(refused.status, status, "{amount}: {refused:?}");
        assert!(refused.body.contains(said), "{amount}: {refused:?}");
        assert!(refused.body.contains(&format!("value=\"{amount}\"")), "{refused:?}");
    }
    let [first, again] = [(); 2].map(|()| send("300", "nearly done"));
    assert_eq!((first.status, again.status), (303, 303));
    let target = first.header("location");
    assert!(target.starts_with("/cost-dashboard?sort=used&said="), "{target}");
    let shown = operator.follow(&first).body;
    assert!(shown.contains("Budget session is extended: 1,450 / 1,300 tokens (111.54%)."), "{shown}");
    assert!(!operator.get(target).body.contains("is extended"));
    let of_session = home.fusebox(&["budget", "show", "session", "--session", ONE, "--json"]).json();
    assert_eq!(of_session["operations"].as_array().unwrap().len(), 1, "{of_session}");
    assert_eq!(of_session["operations"][0]["actor"], "alice");
    let page = operator.get("/cost-dashboard/session/session%2Done").body;
    assert!(
        page.contains("Budget extended") && page.contains("session, 300 tokens more; alice: nearly done")
    );
    let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
    assert_eq!(log.matches("budget decided").count(), 1, "{log}");
}

#[test]
fn dollars_have_cents_in_all_columns() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nunit = \"usd\"\nlimit = 0.5\n");
    // Three dollars for a million tokens.
    spend(&home, ONE, 1, 10_000);
    spend(&home, "session-two", 2, 50_000);
    spend(&home, "session-three", 3, 100);
    home.fusebox(&["import"]);
    let serve = Serve::start(&home, &["--import-every", "0"]);
    let pages = [serve.get(HOME).body, serve.get("/cost-dashboard/sessions").body].join("");
    let amounts = pages.split('$').skip(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').next().unwrap().to_owned()
    });
    let amounts: std::collections::BTreeSet<String> = amounts.collect();
    assert!(amounts.len() > 3, "{amounts:?}");
    for amount in &amounts {
        assert!(amount.split('.').nth(1).is_some_and(|cents| cents.len() == 2), "{amounts:?}");
    }
    assert!(pages.contains("$0.50") && pages.contains("&#60;$0.01"), "{pages}");
}

#[test]
fn names_are_texts_and_never_markup() {
    let evil = "<script>alert(1)</script>\"'&";
    let session = "a\"><img src=x onerror=alert(1)>'";
    let home = Home::new().var("USER", evil).without_lines();
    home.configure(
        "[[budget]]\nname = \"user\"\nscope = \"user\"\nlimit = 100\n[[budget]]\nname = \"session\"\nlimit = 100\n",
    );
    let mut line = message(1, 150, 0);
    line["message"]["model"] = json!(evil);
    let transcript = home.path("claude/projects/-p/odd.jsonl");
    home.append(&transcript, &[line]);
    let more = json!({"transcript_path": transcript, "cwd": home.path("project")});
    let fields = |mut own: serde_json::Value| {
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        own
    };
    home.hook("PostToolUse", session, fields(json!({})));
    home.hook(
        "PreToolUse",
        session,
        fields(json!({"tool_name": evil, "tool_input": {}, "tool_use_id": "toolu_9", "agent_id": evil})),
    );
    home.fusebox(&["import"]);
    let serve = Serve::start(&home, &[]);
    let operator = Visitor::signed_in(&serve, &serve.token());
    let overview = operator.get(HOME).body;
    let link_of_session = link(&overview, "/session/");
    let pages = [
        overview.clone(),
        operator.get("/cost-dashboard?ended=yes&alerts=all&sort=%3Cscript%3E").body,
        operator.get("/cost-dashboard/sessions").body,
        operator.get(&link_of_session).body,
        operator.get(&link(&overview, "/extend")).body,
        operator.get("/cost-dashboard/sign-in?back=%22%3E%3Cscript%3E").body,
        operator.get("/cost-dashboard/session/%3Cscript%3E").body,
    ];
    for page in &pages {
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{page}");
    }
    assert!(pages[0].contains("&#60;script&#62;alert(1)"), "{}", pages[0]);
    assert!(
        pages[3].contains("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;: budget"),
        "{}",
        pages[3]
    );
}

#[test]
fn long_tables_have_pages_with_the_live_ones_first() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\n");
    for n in 0..30 {
        let session = format!("session-{n:02}");
        spend(&home, &session, n, 100 + n as u64);
        if n % 3 == 0 {
            end_session(&home, &session);
        }
    }
    let serve = Serve::start(&home, &[]);
    let rows = |path: &str| serve.get(path).body.matches("<tr role=\"row\" id=\"budget-").count();
    assert_eq!(rows(HOME), 20);
    assert_eq!(rows("/cost-dashboard?ended=yes"), 25);
    assert_eq!(rows("/cost-dashboard?ended=yes&page=2"), 5);
    assert_eq!(rows("/cost-dashboard?ended=yes&page=99"), 5);
    let first = serve.get("/cost-dashboard?ended=yes&sort=used");
    assert!(first.body.contains("1–25 of 30"), "{first:?}");
    let next = link(&first.body, "page=2");
    assert_eq!(next, "/cost-dashboard?sort=used&page=2&ended=yes");
    // Ended ones come last, in whatever order.
    let second = serve.get(&next).body;
    assert!(second.matches("class=\"ended\"").count() >= 5, "{second}");
    let sessions = serve.get("/cost-dashboard/sessions?page=2").body;
    assert!(sessions.contains("26–30 of 30") && sessions.contains("20 live, 30 in all"), "{sessions}");
    // Every order has each budget once, on whatever page.
    for sort in ["status", "agent", "task", "used", "budget", "utilization"] {
        let page = |n| serve.get(&format!("/cost-dashboard?ended=yes&sort={sort}&page={n}")).body;
        let ids = [page(1), page(2)].join("");
        let ids: std::collections::BTreeSet<&str> =
            ids.split("<tr role=\"row\" id=\"budget-").skip(1).map(|rest| &rest[..16]).collect();
        assert_eq!(ids.len(), 30, "{sort}");
    }
}
