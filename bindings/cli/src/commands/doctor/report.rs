//! The report for people: a line for each ability, then what each that is not
//! there means and the command that changes it, then what can be run.

use std::env;

use libctr::Probe;
use libctr::probe::{Finding, Level, State};

use crate::output::table::{Table, printable};

/// How an ability is marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    ok: &'static str,
    degraded: &'static str,
    missing: &'static str,
}

impl Marks {
    const SIGNS: Marks = Marks { ok: "✓", degraded: "~", missing: "✗" };
    const ASCII: Marks = Marks { ok: "ok", degraded: "~", missing: "NO" };

    /// Signs where the terminal's characters are UTF-8 (locale(7)).
    pub(super) fn of_locale() -> Marks {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"];
        let set = names.iter().filter_map(env::var_os).find(|value| !value.is_empty());
        let value = set.map(|value| value.to_string_lossy().to_uppercase()).unwrap_or_default();
        if value.contains("UTF-8") || value.contains("UTF8") { Marks::SIGNS } else { Marks::ASCII }
    }

    const fn of(self, state: State) -> &'static str {
        match state {
            State::Ok => self.ok,
            State::Missing => self.missing,
            _ => self.degraded,
        }
    }
}

/// The whole report.
pub(super) fn text(probe: &Probe, marks: Marks) -> String {
    let mut table = Table::new(&["", "ABILITY", "DETAIL"]);
    for finding in probe.findings() {
        let mark = marks.of(finding.state).to_owned();
        table.row([mark, finding.ability.to_owned(), finding.detail.clone()]);
    }
    let mut text = table.render();
    for state in [State::Missing, State::Degraded] {
        let is_told = |finding: &&Finding| finding.state == state && finding.because.is_none();
        let mut told: Vec<&Finding> = probe.findings().iter().filter(is_told).collect();
        while let Some(&first) = told.first() {
            // What one command changes stands together.
            let is_same =
                |found: &Finding| found == first || first.fix.is_some() && found.fix == first.fix;
            let (same, others): (Vec<_>, Vec<_>) = told.iter().partition(|found| is_same(found));
            text.push_str(&lines(&same, marks));
            told = others;
        }
    }
    text.push_str(&end(probe));
    text
}

/// What findings mean, and the command that changes all of them.
fn lines(findings: &[&Finding], marks: Marks) -> String {
    let mut text = String::from("\n");
    for finding in findings {
        let consequence = printable(finding.consequence.as_deref().unwrap_or(""));
        text.push_str(&format!("{} {}: {consequence}\n", marks.of(finding.state), finding.ability));
    }
    if let Some(fix) = findings.first().and_then(|finding| finding.fix.as_ref()) {
        text.push_str(&format!("    {}\n", printable(fix)));
    }
    text
}

fn end(probe: &Probe) -> String {
    let summary = probe.summary();
    let level = match summary.level {
        Level::Full => "containers can be run, with limits",
        Level::WithoutLimits => "containers can be run, but not with all limits",
        Level::DegradedOnly => {
            "only ctrun run --degraded works: no container, a process of the \
                                host behind Landlock"
        }
        _ => "no container can be run",
    };
    let mut text = format!("\nLinux {}: {level}\n", printable(probe.kernel()));
    // Where nothing works, nothing has to be listed.
    if matches!(summary.level, Level::Full | Level::WithoutLimits) {
        for feature in summary.features.iter().filter(|feature| !feature.needs.is_empty()) {
            text.push_str(&format!(
                "    not {}: needs {}\n",
                feature.key,
                feature.needs.join(", ")
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Marks, lines};
    use libctr::probe::State;

    #[test]
    fn finding_says_what_it_means_and_what_changes_it() {
        // The library's own findings: of a directory that cannot be there.
        let options = libctr::RuntimeOptions {
            run: Some("/proc/nothing".into()),
            ..libctr::RuntimeOptions::default()
        };
        let probe = libctr::probe(&options).expect("a probe");
        let finding = probe.finding("directory.run").expect("a finding");
        assert_eq!(finding.state, State::Missing);
        let text = "\nNO directory.run: no container can be started\n    \
                    give one that can be written: ctrun --root DIR …\n";
        assert_eq!(lines(&[finding], Marks::ASCII), text);
        assert_eq!(Marks::SIGNS.of(State::Ok), "✓");
    }
}
