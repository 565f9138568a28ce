//! What `why` is asked: endpoints, or an error message that names one.

use std::io::{self, IsTerminal, Read};

use portwise_model::KernelFamily;

use crate::{
    Endpoint, Trouble,
    cli::{Global, Output},
    explain::Heard,
    pasted::{self, NotUnderstood},
};

/// An endpoint and what a program said of it.
pub(super) struct Question {
    pub endpoint: Endpoint,
    pub heard: Heard,
}

/// Reads what was typed. One text that is no endpoint, and words that are none, are taken for an
/// error message; `-` reads it from standard input.
pub(super) fn questions(
    typed: &[String],
    global: &Global,
    output: &mut Output<'_>,
) -> Result<Vec<Question>, Trouble> {
    if typed == ["-"] {
        return Ok(vec![message(&from_stdin(output)?)?]);
    }
    let bad = match global.endpoints(typed) {
        Ok(endpoints) => {
            let heard = Heard::default;
            return Ok(endpoints
                .into_iter()
                .map(|e| Question { endpoint: e, heard: heard() })
                .collect());
        }
        Err(bad) => bad,
    };
    let text = typed.join(" ");
    if !text.trim().contains(char::is_whitespace) {
        return Err(bad);
    }
    match message(&text) {
        Ok(question) => Ok(vec![question]),
        // Among endpoints one that is misspelt is no message.
        Err(_) if typed.len() > 1 && typed.iter().any(|word| word.parse::<Endpoint>().is_ok()) => {
            Err(bad)
        }
        Err(not_understood) => Err(not_understood),
    }
}

/// What `--got` names, put in the place of what a message told.
pub(super) fn given(
    questions: &mut [Question],
    got: Option<&str>,
    kernel: KernelFamily,
) -> Result<(), Trouble> {
    let Some(word) = got else { return Ok(()) };
    let errno = pasted::given(word, kernel).map_err(|e| Trouble::new(format!("--got: {e}")))?;
    for question in questions {
        (question.heard.errno, question.heard.how) = (Some(errno), None);
    }
    Ok(())
}

fn message(text: &str) -> Result<Question, Trouble> {
    // Piped, an endpoint comes with a newline.
    if let Ok(endpoint) = text.trim().parse() {
        return Ok(Question { endpoint, heard: Heard::default() });
    }
    let read = pasted::read(text).map_err(|e| Trouble::new(e.to_string()))?;
    Ok(Question { endpoint: read.endpoint.clone(), heard: read.into() })
}

fn from_stdin(output: &mut Output<'_>) -> Result<String, Trouble> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        output.note("paste the error message, then Ctrl-D\n");
    }
    let mut bytes = Vec::new();
    let most = pasted::LONGEST as u64 + 1;
    let read = stdin.lock().take(most).read_to_end(&mut bytes);
    read.map_err(|e| Trouble::new(format!("cannot read standard input: {e}")))?;
    if bytes.len() > pasted::LONGEST {
        return Err(Trouble::new(NotUnderstood::TooLong.to_string()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
