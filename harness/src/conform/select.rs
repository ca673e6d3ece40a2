//! Which cases are to be run: by patterns, each of which must mean something.

use super::pattern::Pattern;
use crate::scenario::problem::nearest;

/// Which of these ids are meant by `only` (all, if there is none) and not by `skip`; or a sentence
/// for each pattern that means none of them.
pub fn select(ids: &[&str], only: &[Pattern], skip: &[Pattern]) -> Result<Vec<bool>, Vec<String>> {
    let lost = |option: &str, patterns: &[Pattern]| {
        let lost = patterns.iter().filter(|pattern| !ids.iter().any(|id| pattern.matches(id)));
        lost.map(|pattern| no_case(option, pattern, ids)).collect::<Vec<_>>()
    };
    let wrong = [lost("--only", only), lost("--skip", skip)].concat();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let means = |patterns: &[Pattern], id: &str| patterns.iter().any(|it| it.matches(id));
    let wanted = |id: &&str| (only.is_empty() || means(only, id)) && !means(skip, id);
    Ok(ids.iter().map(wanted).collect())
}

fn no_case(option: &str, pattern: &Pattern, ids: &[&str]) -> String {
    let text = pattern.to_string();
    let help = match nearest(&text, ids.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`*` is one component, `**` any number of them".to_owned(),
    };
    format!("{option} {text}: no case is called like that ({help})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = ["a/join/ack", "a/join/twice", "a/say/echo", "b/say/echo"];

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect("a pattern")).collect()
    }

    #[test]
    fn patterns_choose_and_leave_out() {
        let cases: [(&[&str], &[&str], [bool; 4]); 5] = [
            (&[], &[], [true; 4]),
            (&["a/**"], &[], [true, true, true, false]),
            (&["*/say/*"], &["b/**"], [false, false, true, false]),
            (&["a/join/ack", "b/**"], &[], [true, false, false, true]),
            (&[], &["**/echo"], [true, true, false, false]),
        ];
        for (only, skip, expected) in cases {
            let selected = select(&IDS, &patterns(only), &patterns(skip));
            assert_eq!(selected.as_deref(), Ok(&expected[..]), "{only:?} {skip:?}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_told_with_its_neighbour() {
        let wrong = select(&IDS, &patterns(&["a/join/akc"]), &patterns(&["c/*"]));
        let wrong = wrong.expect_err("two patterns that mean nothing");
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].contains("did you mean `a/join/ack`?"), "{wrong:?}");
        assert!(wrong[1].starts_with("--skip c/*: "), "{wrong:?}");
    }
}
