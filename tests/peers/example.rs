//! Builds an example, for tests that run it as a program.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Returns the program of an example, built as this test was.
pub(crate) fn built(name: &str) -> PathBuf {
    let mut build = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--example", name, "--message-format=json"]);
    // As `scripts/test.sh` does, so that nothing is built anew.
    build.args(["--workspace", "--all-features"]);
    // What cargo says to this test would make it build other crates anew.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    let output = build.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the example does not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let executable = message["executable"].as_str().map(PathBuf::from);
        executable.filter(|_| message["target"]["name"] == name)
    });
    executables.next().expect("no executable")
}
