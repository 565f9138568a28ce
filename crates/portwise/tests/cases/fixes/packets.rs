//! The fixes of `reach`: a client that got no answer gets one, or the other way round where that is
//! the point. The case's function `served` says so, which sends real packets.

use std::{fs, path::Path};

use super::{super::ask_with, Question, ask, count, in_general};
use crate::stories;

/// Tries the fixes of one question and returns what is wrong with them.
pub(super) fn fixes(case: &Path, path: &str, question: &Question) -> Vec<String> {
    let Question { before, rest, .. } = question;
    let asked = match ask(case, path, &format!("{before}portwise reach --json {rest}")) {
        None => return Vec::new(),
        Some(Err(wrong)) => return vec![wrong],
        Some(Ok(asked)) => asked,
    };
    let document = in_general(&asked, &asked.answer);
    let Some(answers) = document["answers"].as_array() else {
        return vec![format!("no JSON: {}{}", asked.answer, asked.errors)];
    };
    let fixes = answers.iter().filter_map(|answer| answer["fixes"].as_array()).flatten();
    let printed =
        fixes.filter(|fix| fix["commands"].as_array().is_some_and(|c| !c.is_empty())).count();
    let served = stories::served(case);
    let is_said = || fs::read_to_string(case).unwrap().contains("\nserved()");
    if printed > 0 && served.is_none() && !is_said() {
        return vec!["it prints a fix, and nothing says whether that works (served)".into()];
    }
    let trial = |number: usize| {
        let fix = number.to_string();
        let question = format!("{before}portwise reach {rest}");
        let served = served.as_deref().unwrap_or_default();
        count(case);
        match ask_with(case, path, &question, &[("FIX", fix.as_str()), ("SERVED", served)]) {
            None => None,
            Some(Err(wrong)) => Some(wrong),
            Some(Ok(asked)) if asked.behind.contains("--- the fix works") => None,
            Some(Ok(asked)) => Some(format!("fix {number}: {}{}", asked.behind, asked.errors)),
        }
    };
    (1..=printed).filter_map(trial).collect()
}
