//! JSON checked against the schemas in `docs/reference/schema`, as far as these use the language.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Map, Value};

pub(crate) fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

pub(crate) fn schema(file: &str) -> Value {
    let path = reference().join("schema").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Checks values against schemas, as far as these use the language, and notes what was used.
pub(crate) struct Checker {
    pub(crate) faults: Vec<String>,
    /// The fields and variants that some value had, by where they stand in the schema.
    pub(crate) used: BTreeSet<String>,
}

impl Checker {
    pub(crate) fn check(
        &mut self,
        value: &Value,
        schema: &Value,
        file: &str,
        at: &str,
        place: &str,
    ) {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let (file, schema, place) = resolve(target, file);
            return self.check(value, &schema, &file, at, &place);
        }
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            for (i, one) in any.iter().enumerate() {
                let mut trial = Checker { faults: Vec::new(), used: BTreeSet::new() };
                let place = format!("{place}|{i}");
                trial.check(value, one, file, at, &place);
                if trial.faults.is_empty() {
                    self.used.extend(trial.used);
                    self.used.insert(place);
                    return;
                }
            }
            self.faults.push(format!("{at}: fits none of anyOf at {place}: {value}"));
            return;
        }
        if let Some(only) = schema.get("const").filter(|only| *only != value) {
            self.faults.push(format!("{at}: {value} is not {only}"));
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            self.faults.push(format!("{at}: {value} is none of {words:?}"));
        }
        if let Some(types) = schema.get("type").filter(|types| !is_of(value, types)) {
            self.faults.push(format!("{at}: {value} is not of type {types}"));
        }
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            for item in list {
                self.check(item, items, file, &format!("{at}[]"), &format!("{place}[]"));
            }
        }
        if let Some(fields) = value.as_object() {
            self.fields(fields, schema, file, at, place);
        }
    }

    fn fields(
        &mut self,
        fields: &Map<String, Value>,
        schema: &Value,
        file: &str,
        at: &str,
        place: &str,
    ) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            let other = schema.get("additionalProperties");
            match (known.get(name), other) {
                (Some(schema), _) => {
                    let place = format!("{place}.{name}");
                    self.used.insert(place.clone());
                    self.check(field, schema, file, &at, &place);
                }
                (None, Some(Value::Bool(false))) => {
                    self.faults.push(format!("{at}: the schema does not know it"));
                }
                (None, Some(other)) => self.check(field, other, file, &at, &format!("{place}.*")),
                (None, None) => {}
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                self.faults.push(format!("{at}: {name} is missing"));
            }
        }
    }
}

/// The file, schema and place that a reference leads to.
pub(crate) fn resolve(target: &str, file: &str) -> (String, Value, String) {
    let (other, pointer) = target.split_once('#').expect("a reference with #");
    let file = if other.is_empty() { file } else { other };
    let found = schema(file).pointer(pointer).cloned();
    let found = found.unwrap_or_else(|| panic!("{file}: no {pointer}"));
    (file.into(), found, format!("{file}#{pointer}"))
}

fn is_of(value: &Value, types: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}
