//! skopeo.

use std::process::{Output, Stdio};
use std::time::Duration;

/// Runs skopeo; it must succeed.
pub(crate) async fn skopeo(arguments: &[&str]) {
    let output = run_skopeo(arguments).await;
    assert!(
        output.status.success(),
        "skopeo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs skopeo and returns whether it succeeds.
#[allow(dead_code, reason = "not every test has it fail")]
pub(crate) async fn try_skopeo(arguments: &[&str]) -> bool {
    run_skopeo(arguments).await.status.success()
}

async fn run_skopeo(arguments: &[&str]) -> Output {
    let (command, arguments) = arguments.split_first().unwrap();
    let insecure: &[&str] = match *command {
        "copy" => &["--src-tls-verify=false", "--dest-tls-verify=false"],
        _ => &["--tls-verify=false"],
    };
    let output = tokio::process::Command::new("skopeo")
        .arg("--insecure-policy")
        .arg(command)
        .args(insecure)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(Duration::from_secs(60), output)
        .await
        .expect("skopeo takes longer than a minute")
        .unwrap_or_else(|error| {
            panic!(
                "cannot run skopeo: {error}. This test needs it: `apt-get install skopeo`, \
                 `dnf install skopeo` or `brew install skopeo`; scripts/test.sh does it on Debian"
            )
        })
}
