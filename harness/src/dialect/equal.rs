//! Whether two JSON values are the same value.

use serde_json::{Number, Value};

/// From here on, a double does not hold every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether both are the same value. JSON has one kind of number: `1.0` is `1`, however a server
/// keeps it; whole numbers are the same only if every digit is.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

#[expect(clippy::float_cmp, reason = "the very same number is meant")]
fn same_number(one: &Number, other: &Number) -> bool {
    if one.is_f64() == other.is_f64() {
        return false;
    }
    let values = one.as_f64().zip(other.as_f64());
    values.is_some_and(|(one, other)| one == other && one.abs() < EXACT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_kept() {
        for (one, other) in [
            (json!(1), json!(1.0)),
            (json!(-3.0), json!(-3)),
            (json!({"x": [0, {"y": 2.0}]}), json!({"x": [0.0, {"y": 2}]})),
            (json!(u64::MAX), json!(u64::MAX)),
        ] {
            assert!(equal(&one, &other) && equal(&other, &one), "{one} {other}");
        }
        for (one, other) in [
            (json!(1), json!(1.5)),
            (json!(4), json!("4")),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_f64)),
            (json!([1, 2]), json!([1])),
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!({"a": 1}), json!({"b": 1})),
            (json!(0), json!(null)),
        ] {
            assert!(!equal(&one, &other) && !equal(&other, &one), "{one} {other}");
        }
    }
}
