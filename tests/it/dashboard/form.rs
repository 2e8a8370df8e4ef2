//! Forms without a browser: cookies are kept, hidden fields are sent back.

use std::cell::RefCell;
use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::HOME;
use crate::serve::{Answer, Serve};

/// Someone who asks for pages, with a jar of cookies.
pub struct Visitor<'s> {
    serve: &'s Serve,
    jar: RefCell<BTreeMap<String, String>>,
}

impl<'s> Visitor<'s> {
    /// One who is not signed in.
    pub fn new(serve: &'s Serve) -> Self {
        Self { serve, jar: RefCell::default() }
    }

    /// One who signed in with this token.
    #[track_caller]
    pub fn signed_in(serve: &'s Serve, token: &str) -> Self {
        let visitor = Self::new(serve);
        let answer = visitor.sign_in(token);
        assert_eq!((answer.status, answer.header("location")), (303, HOME), "{answer:?}");
        visitor
    }

    /// Signs in with a token.
    pub fn sign_in(&self, token: &str) -> Answer {
        let form = self.get(&format!("{HOME}/sign-in"));
        let csrf = hidden(&form.body, "csrf");
        self.post(&format!("{HOME}/sign-in"), &[("csrf", &csrf), ("token", token)])
    }

    fn cookies(&self) -> String {
        let pairs: Vec<String> =
            self.jar.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&self, answer: &Answer) {
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.jar.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
    }

    /// Reads a page.
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// The same with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let cookies = self.cookies();
        let mut all = vec![("Cookie", cookies.as_str())];
        all.extend(headers);
        let answer = self.serve.request("GET", path, &all, b"");
        self.keep(&answer);
        answer
    }

    /// Sends a form.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_with(path, fields, &[])
    }

    /// The same with headers.
    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let cookies = self.cookies();
        let mut all =
            vec![("Cookie", cookies.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        let answer = self.serve.request("POST", path, &all, pairs.join("&").as_bytes());
        self.keep(&answer);
        answer
    }

    /// Goes where an answer sends the browser.
    #[track_caller]
    pub fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{answer:?}");
        self.get(answer.header("location"))
    }

    /// What each of this visitor's forms must contain.
    pub fn csrf(&self) -> String {
        hidden(&self.get(HOME).body, "csrf")
    }
}

/// The value of a hidden field.
#[track_caller]
pub fn hidden(body: &str, name: &str) -> String {
    let start = format!("type=\"hidden\" name=\"{name}\" value=\"");
    let rest = body.split_once(&start).unwrap_or_else(|| panic!("no field {name}: {body}")).1;
    rest.split('"').next().unwrap().to_owned()
}

/// The first address in a page that contains this text.
#[track_caller]
pub fn link(body: &str, part: &str) -> String {
    let mut links = body.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let found = links.find(|link| link.contains(part)).unwrap_or_else(|| panic!("no {part}: {body}"));
    found.replace("&amp;", "&").replace("&#38;", "&")
}
