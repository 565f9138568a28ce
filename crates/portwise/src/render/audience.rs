//! Who reaches what a bind covers, as text.

use portwise_model::ReachOutcome;

use super::{page::Page, phrase};
use crate::{explain::Report, reach::Group};

/// Writes who reaches it; nothing where what is covered says as much.
pub(super) fn text(page: &mut Page, report: &Report) {
    let Some(audience) = &report.audience else { return };
    let is_plain = |group: &Group| {
        group.outcome == ReachOutcome::Accepted
            && group.socket.is_none()
            && group.rewritten.is_none()
    };
    if report.ip.is_loopback() && audience.groups.iter().all(is_plain) {
        return;
    }
    page.label("reach");
    // First what all the rest depends on.
    let endpoint = phrase::quoted(&phrase::asked(report));
    if let Some(why) = &audience.unread {
        let sudo = if why.contains("root only") { "sudo " } else { "" };
        page.text(&format!(
            "as far as addresses and routes say ({why}; `{sudo}{} reach {endpoint}` reckons with \
             them):",
            report.program
        ));
    }
    for group in &audience.groups {
        page.text(&words(group));
    }
}

/// One group.
fn words(group: &Group) -> String {
    let from = group.from.join(", ");
    let by = group.translator.as_deref().map(|rule| format!(" by the rule {rule}"));
    let by = by.unwrap_or_default();
    let because = group.because.as_deref().unwrap_or_default();
    match (group.outcome, &group.socket, &group.rewritten) {
        (ReachOutcome::Accepted, None, None) => format!("{from}: reached"),
        (ReachOutcome::Accepted, None, Some(to)) => format!("{from}: sent on to {to}{by}"),
        (ReachOutcome::Accepted, Some(socket), None) => format!("{from}: {socket} gets it"),
        (ReachOutcome::Accepted, Some(socket), Some(to)) => {
            format!("{from}: sent on to {to}{by}, before sockets are asked: {socket} gets it")
        }
        (ReachOutcome::Forwarded, _, Some(to)) => format!(
            "{from}: sent on to {to}{by}, before sockets and the rules of the hook input are asked"
        ),
        (ReachOutcome::Forwarded, _, None) => format!("{from}: leaves this host again"),
        (ReachOutcome::Unknown, ..) => format!("{from}: not known: {because}"),
        (outcome, ..) => format!("{from}: {}: {because}", crate::reach::word(outcome)),
    }
}
