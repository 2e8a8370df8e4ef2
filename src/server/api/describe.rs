//! The OpenAPI document: what the code of each address says about itself, and what holds for all of them.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::super::problem::{MEDIA_TYPE, Problem};

/// The names of the query parameters of each address, by its path below `/api` and its method.
pub type KnownParameters = HashMap<(String, String), BTreeSet<String>>;

/// The problems: status, name, and what it means.
const PROBLEMS: [(u16, &str, &str); 11] = [
    (400, "BadRequest", "A parameter or the body is wrong."),
    (401, "Unauthorized", "A token is required, or it is not valid."),
    (403, "Forbidden", "The token does not allow it, or another site sent the request."),
    (404, "NotFound", "Nothing has this id."),
    (
        409,
        "Conflict",
        "The current state does not allow it, or the first request with this key is not finished.",
    ),
    (413, "ContentTooLarge", "The body is too large."),
    (415, "UnsupportedMediaType", "The body is not `application/json`."),
    (
        422,
        "UnprocessableContent",
        "It makes no sense for this object, or the key was used for another request.",
    ),
    (429, "TooManyRequests", "Too many requests."),
    (500, "InternalServerError", "A mistake in the server."),
    (
        503,
        "ServiceUnavailable",
        "The store or the ledger does not answer, or too many requests are being answered.",
    ),
];

/// Completes the document. `reads_are_open`: reading needs no token.
pub fn complete(document: &mut Value, reads_are_open: bool) {
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for (method, operation) in operations.as_object_mut().into_iter().flatten() {
                match method.as_str() {
                    "get" => complete_read(path, operation, reads_are_open),
                    _ => complete_decision(path, operation),
                }
            }
        }
    }
    let components = &mut document["components"];
    require_all(components);
    forbid_two_amounts(components);
    components["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the token file. Its role is viewer (reads) or operator (reads and decides).",
        }
    });
    components["parameters"] = json!({
        "IfNoneMatch": {
            "name": "If-None-Match", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "The `ETag` of an earlier answer: if it is still current, the answer is 304.",
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "A request that is sent again with the same key takes effect once. The answer is kept for a day.",
        },
    });
    components["headers"] = json!({
        "ETag": {"schema": {"type": "string"}, "description": "Names this answer."},
        "Link": {"schema": {"type": "string"}, "description": "`<…>; rel=\"next\"`: the next page, if there is one."},
        "RetryAfter": {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds after which to try again."},
        "Challenge": {"schema": {"type": "string"}, "description": "The scheme that is required: `Bearer`."},
        "Replayed": {
            "schema": {"type": "string", "enum": ["true"]},
            "description": "The answer to an earlier request with the same `Idempotency-Key`.",
        },
    });
    components["schemas"]["Problem"] = serde_json::to_value(Problem::schema()).unwrap_or_default();
    require(&mut components["schemas"]["Problem"]);
    components["responses"] = problems();
}

/// What each operation may be answered besides, by its name among the components.
fn problems() -> Value {
    let mut all = Map::new();
    for (status, name, meaning) in PROBLEMS {
        let mut response = json!({
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        match status {
            401 => {
                response["headers"] = json!({"WWW-Authenticate": {"$ref": "#/components/headers/Challenge"}})
            }
            429 | 503 => {
                response["headers"] = json!({"Retry-After": {"$ref": "#/components/headers/RetryAfter"}})
            }
            _ => {}
        }
        all.insert(name.to_owned(), response);
    }
    all.insert(
        "NotModified".to_owned(),
        json!({
            "description": "The answer that the client has is current.",
            "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
        }),
    );
    all.into()
}

fn complete_read(path: &str, operation: &mut Value, reads_are_open: bool) {
    let mut statuses = vec![400, 401, 403, 413, 429, 503];
    if path.contains('{') {
        statuses.push(404);
    }
    if path.starts_with("/costs") {
        statuses.push(422);
    }
    let is_list = has_parameter(operation, "limit");
    add_parameter(operation, "IfNoneMatch");
    add_problems(operation, &statuses);
    let responses = &mut operation["responses"];
    responses["304"] = json!({"$ref": "#/components/responses/NotModified"});
    let headers = &mut responses["200"]["headers"];
    *headers = json!({"ETag": {"$ref": "#/components/headers/ETag"}});
    if is_list {
        headers["Link"] = json!({"$ref": "#/components/headers/Link"});
    }
    operation["security"] = if reads_are_open { json!([{}, {"token": []}]) } else { json!([{"token": []}]) };
}

fn complete_decision(path: &str, operation: &mut Value) {
    let mut statuses = vec![400, 401, 403, 409, 413, 415, 422, 429, 503];
    // Of all bulk requests, only this one is refused as a whole if an id is unknown.
    if path.contains('{') || path == "/budget/alerts/acknowledge" {
        statuses.push(404);
    }
    add_parameter(operation, "IdempotencyKey");
    add_problems(operation, &statuses);
    operation["responses"]["200"]["headers"] =
        json!({"Idempotency-Replayed": {"$ref": "#/components/headers/Replayed"}});
    operation["security"] = json!([{"token": ["operator"]}]);
}

fn has_parameter(operation: &Value, name: &str) -> bool {
    operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
}

fn add_parameter(operation: &mut Value, name: &str) {
    let reference = json!({"$ref": format!("#/components/parameters/{name}")});
    match operation["parameters"].as_array_mut() {
        Some(all) => all.push(reference),
        None => operation["parameters"] = json!([reference]),
    }
}

fn add_problems(operation: &mut Value, statuses: &[u16]) {
    for (status, name, _) in PROBLEMS.iter().filter(|(status, ..)| statuses.contains(status)) {
        operation["responses"][status.to_string()] =
            json!({"$ref": format!("#/components/responses/{name}")});
    }
}

/// Answers always have all their fields. Requests, and entries of the history, do not.
fn require_all(components: &mut Value) {
    for (name, schema) in components["schemas"].as_object_mut().into_iter().flatten() {
        if name.ends_with("Request") || name == "HistoryEntry" {
            continue;
        }
        require(schema);
        for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
            require(part);
        }
    }
}

fn require(schema: &mut Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let names: Vec<Value> = properties.keys().map(|name| Value::from(name.as_str())).collect();
    schema["required"] = names.into();
}

/// Besides the required fields, exactly one: the amount.
fn forbid_two_amounts(components: &mut Value) {
    for name in ["ExtendRequest", "ExtendManyRequest"] {
        let schema = &mut components["schemas"][name];
        let fields = schema["required"].as_array().map_or(0, Vec::len) + 1;
        schema["minProperties"] = fields.into();
        schema["maxProperties"] = fields.into();
    }
}

/// The names of all query parameters.
pub fn known_parameters(document: &Value) -> KnownParameters {
    let mut all = KnownParameters::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let of_query = parameters.filter(|one| one["in"] == "query");
            let names = of_query.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect();
            all.insert((path.clone(), method.to_uppercase()), names);
        }
    }
    all
}
