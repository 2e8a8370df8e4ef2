//! Servers with the users printed by `fusebox redis acl`.

use fusebox::store::redis::acl::{HASH, Role};

use super::{Options, Server};

/// The password of each of them.
pub const PASSWORD: &str = "open-sesame";

/// Its hash.
const PASSWORD_HASH: &str = "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7";

/// Adds a user to a running server.
pub fn add(server: &Server, name: &str, role: Role, tenant: &str) {
    let rules = with_password(&role.rules(tenant));
    let words = ["ACL", "SETUSER", name].into_iter().chain(rules.split(' '));
    assert_eq!(server.text(&words.collect::<Vec<_>>()), "OK", "{rules}");
}

/// Printed lines with the password filled in.
pub fn with_password(lines: &str) -> String {
    assert!(lines.contains(HASH), "{lines}");
    lines.replace(HASH, PASSWORD_HASH)
}

/// A server with these users, and the default user for inspection by tests.
pub fn serve(lines: &str) -> Server {
    Options::default().acl(&format!("user default on nopass ~* &* +@all\n{lines}")).start()
}
