//! A test that runs itself again in another process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a test again in another process, which a line of a shell starts: `"$@"` is its
/// command. `module` is the `module_path!()` of the test.
pub(super) fn child((module, test): (&str, &str), path: &Path, script: &str) -> Output {
    let exe = std::env::current_exe().unwrap();
    let (_, module) = module.split_once("::").unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(exe);
    command.arg("--exact").arg(format!("{module}::{test}"));
    command.arg("--nocapture").env("JOURNAL_CHILD", path);
    command.output().unwrap()
}

/// Returns the path in the process that [`child`] has started, and `None` in others.
pub(super) fn path_of_child() -> Option<PathBuf> {
    std::env::var_os("JOURNAL_CHILD").map(PathBuf::from)
}

pub(super) fn succeeded(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "{text}{errors}");
}
