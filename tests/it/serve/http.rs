//! The API is correct HTTP, and describes itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Serve, busy_session};
use crate::harness::Home;

const ONE: &str = "session-one";

fn served() -> (Home, Serve) {
    let home = Home::new();
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &[]);
    (home, serve)
}

#[test]
fn methods_types_and_sizes_are_checked() {
    let (_home, serve) = served();
    let operator = format!("Bearer {}", serve.token());
    let authorized = ("Authorization", operator.as_str());
    let json_type = ("Content-Type", "application/json");
    serve.get("/api/nothing").is_problem(404, "/nothing");
    serve.get("/nothing").is_problem(404, "/nothing");
    let wrong = serve.request("PUT", "/api/budget", &[authorized], b"");
    wrong.is_problem(405, "method");
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    let wrong = serve.request("GET", "/api/budget/extend", &[authorized], b"");
    wrong.is_problem(405, "method");
    assert_eq!(wrong.header("allow"), "POST");

    let path = "/api/budget/0000000000000000/reset";
    let post = |headers: &[(&str, &str)], body: &[u8]| serve.request("POST", path, headers, body);
    post(&[authorized], b"{\"reason\":\"x\"}").is_problem(415, "application/json");
    post(&[authorized, ("Content-Type", "text/plain")], b"{}").is_problem(415, "application/json");
    post(&[authorized, json_type], b"{\"reason\":").is_problem(400, "");
    post(&[authorized, json_type], b"\xff\xfe{\x00").is_problem(400, "");
    post(&[authorized, json_type], b"[]").is_problem(400, "");
    post(&[authorized, json_type], b"{\"reason\":\"x\",\"reason\":\"y\"}").is_problem(400, "duplicate");
    post(&[authorized, json_type], b"{\"reason\":\"x\"}").is_problem(404, "0000000000000000");
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    post(&[authorized, json_type], large.as_bytes()).is_problem(413, "at most 65536 bytes");
    post(&[authorized, json_type, ("Idempotency-Key", "k")], large.as_bytes()).is_problem(413, "at most");
    let mut chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len()).into_bytes();
    post(&[authorized, json_type, ("Transfer-Encoding", "chunked")], &chunked).is_problem(413, "");
    chunked.splice(0..0, *b"nonsense").for_each(drop);
    post(&[authorized, json_type, ("Transfer-Encoding", "chunked")], &chunked).is_problem(400, "");
}

#[test]
fn parameters_are_checked() {
    let (_home, serve) = served();
    for (query, said) in [
        ("limit=0", "limit must be 1 to 1000"),
        ("limit=1001", "limit must be 1 to 1000"),
        ("limit=many", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("limit=1&limit=2", "duplicate"),
        ("status=foo", "`exhausted`"),
        ("scope=foo", "`agent_type`"),
        ("all=yes", "`true`"),
        ("sesion=x", "unknown parameter sesion: use all, limit, name, offset, scope, status, value"),
        ("%ff=x", "unknown parameter"),
    ] {
        serve.get(&format!("/api/budget?{query}")).is_problem(400, said);
    }
    serve.get("/api/circuit?state=broken").is_problem(400, "`half_open`");
    serve.get("/api/budget/alerts?level=loud").is_problem(400, "`critical`");
    serve.get("/api/health?x=1").is_problem(400, "this address has none");
    serve.get("/api/budget/%ff").is_problem(400, "");
    let page = serve.get("/api/budget?limit=1000&offset=1000000000&status=warning&scope=session").json();
    assert_eq!((&page["total"], &page["budgets"]), (&json!(1), &json!([])));
}

#[test]
fn a_client_with_the_current_answer_gets_none() {
    let (_home, serve) = served();
    let full = serve.get("/api/budget");
    let tag = full.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20, "{full:?}");
    let head = serve.request("HEAD", "/api/budget", &[], b"");
    assert_eq!((head.status, head.header("etag"), head.body.as_str()), (200, tag.as_str(), ""));
    assert_eq!(head.header("content-length"), full.header("content-length"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = serve.request(method, "/api/budget", &[("If-None-Match", &known)], b"");
            assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
            assert_eq!((answer.header("etag"), answer.header("content-type")), (tag.as_str(), ""), "{known}");
        }
    }
    let other = serve.request("GET", "/api/budget", &[("If-None-Match", "\"other\"")], b"");
    assert_eq!((other.status, &other.body), (200, &full.body));
}

#[test]
fn an_idempotency_key_belongs_to_one_request() {
    let (_home, serve) = served();
    let id = serve.get("/api/budget").json()["budgets"][0]["budget_id"].as_str().unwrap().to_owned();
    let path = format!("/api/budget/{id}/extend");
    let body = json!({"additional_tokens": 5, "reason": "x"});
    let post = |key: &str| serve.post_with(&path, &body, &[("Idempotency-Key", key)]);
    post("").is_problem(400, "Idempotency-Key");
    post(&"k".repeat(256)).is_problem(400, "Idempotency-Key");
    post("schlüssel").is_problem(400, "Idempotency-Key");
    post("a b").is_problem(400, "Idempotency-Key");
    serve
        .post_with(&path, &body, &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
        .is_problem(400, "one Idempotency-Key");
    assert_eq!(post(&"k".repeat(255)).json()["limit"], 1005);
    // Other addresses may have the same key. A refusal is repeated as well.
    let wrong = json!({"additional_tokens": 5000, "reason": "x"});
    let refused = serve.post_with(&path, &wrong, &[("Idempotency-Key", "r")]);
    refused.is_problem(409, "at most");
    let repeated = serve.post_with(&path, &wrong, &[("Idempotency-Key", "r")]);
    assert_eq!((repeated.status, repeated.header("idempotency-replayed")), (409, "true"));
    let reset = serve.post_with(
        &format!("/api/budget/{id}/reset"),
        &json!({"reason": "x"}),
        &[("Idempotency-Key", "r")],
    );
    assert_eq!((reset.status, reset.header("idempotency-replayed")), (200, ""));
    // Without a token, nobody learns what was answered.
    let stranger = [("Idempotency-Key", "r"), ("Content-Type", "application/json")];
    serve.request("POST", &path, &stranger, wrong.to_string().as_bytes()).is_problem(401, "token");
}

#[test]
fn the_document_describes_every_operation() {
    let (_home, serve) = served();
    let answer = serve.get("/api/openapi.json");
    assert!(answer.body.len() < 70_000, "{} bytes", answer.body.len());
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(
        !schemas.values().any(|schema| schema["description"].is_null() && schema["oneOf"].is_null()),
        "{schemas:?}"
    );
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let shown = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{shown}");
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{shown}");
            let responses = operation["responses"].as_object().unwrap();
            let is_read = method == "get";
            for status in ["200", "400", "401", "403", "413", "429", "503"] {
                assert!(responses.contains_key(status), "{shown}: {status}");
            }
            assert_eq!(responses.contains_key("304"), is_read, "{shown}");
            assert_eq!(responses.contains_key("409"), !is_read, "{shown}");
            for (status, response) in responses.iter().filter(|(status, _)| *status != "200") {
                assert!(
                    response["$ref"].as_str().unwrap().starts_with("#/components/responses/"),
                    "{shown}: {status}"
                );
            }
            let wanted = if is_read { json!([{}, {"token": []}]) } else { json!([{"token": ["operator"]}]) };
            assert_eq!(operation["security"], wanted, "{shown}");
        }
    }
    let lost: Vec<_> =
        all_references(&document).into_iter().filter(|to| document.pointer(&to[1..]).is_none()).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let budget = &schemas["BudgetJson"];
    assert_eq!(budget["required"].as_array().unwrap().len(), budget["properties"].as_object().unwrap().len());
    let extend = &schemas["ExtendRequest"];
    assert_eq!(
        (&extend["minProperties"], &extend["additionalProperties"]),
        (&json!(2), &json!(false)),
        "{extend}"
    );
    drop(serve);
    let home = Home::new();
    let strict = Serve::start(&home, &["--require-token"]);
    let bearer = format!("Bearer {}", strict.token());
    let document = strict.request("GET", "/api/openapi.json", &[("Authorization", &bearer)], b"").json();
    assert_eq!(document["paths"]["/budget"]["get"]["security"], json!([{"token": []}]));
}

fn all_references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(to) if name == "$ref" => vec![to],
                _ => all_references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(all_references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_viewer_comes_from_the_server_alone() {
    let (_home, serve) = served();
    let page = serve.get("/api/docs");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(!page.body.contains("://"), "{}", page.body);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let script = serve.request("GET", "/api/docs/rapidoc.js", &[("Accept-Encoding", "gzip, br")], b"");
    assert_eq!((script.status, script.header("content-encoding")), (200, "gzip"));
    serve.get("/api/docs/rapidoc.js").is_problem(406, "gzip");
}
