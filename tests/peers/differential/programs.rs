//! skopeo and buildah, as people use them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const CREDENTIALS: &str = "silly:secret";
const LONGEST: Duration = Duration::from_secs(120);

/// Runs a program; it must succeed. What it prints.
async fn run(program: &str, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST, output)
        .await
        .unwrap_or_else(|_| panic!("{program} {arguments:?} takes longer than {LONGEST:?}"))
        .unwrap_or_else(|error| panic!("{}", crate::upstream::missing(program, &error)));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn skopeo(arguments: &[&str]) -> String {
    run("skopeo", &[&["--insecure-policy"], arguments].concat()).await
}

async fn copy(arguments: &[&str]) {
    let [from, to] = ["--src", "--dest"].map(|it| format!("{it}-tls-verify=false"));
    let [by, and_by] = ["--src", "--dest"].map(|it| format!("{it}-creds={CREDENTIALS}"));
    let options = ["copy", &*from, &*to, &*by, &*and_by];
    skopeo(&[&options[..], arguments].concat()).await;
}

/// Copies in, out and from repository to repository; one image, all platforms,
/// other formats; looks and lists.
pub(crate) async fn use_skopeo(port: u16, folder: &Path) {
    let at = |name: &str| format!("docker://127.0.0.1:{port}/{name}");
    let dir = format!("dir:{}", folder.join("image").display());
    copy(&[&at("team/app:v1"), &dir]).await;
    copy(&[&dir, &at("skopeo/in:v1")]).await;
    copy(&[&at("team/app:v1"), &at("skopeo/copy:v1")]).await;
    copy(&["--all", &at("team/app:multi"), &at("skopeo/copy:multi")]).await;
    copy(&["--all", &at("team/docker:multi"), &at("skopeo/list:multi")]).await;
    copy(&["--format=oci", &at("team/app:v1"), &at("skopeo/in:v3")]).await;
    let eight: Vec<_> = (0..8).map(|n| at(&format!("skopeo/eight{n}:t"))).collect();
    let eight = eight.iter().map(async |to| copy(&[&dir, to]).await);
    futures_util::future::join_all(eight).await;
    for (command, name) in [
        (&["inspect", "--raw"][..], "skopeo/in:v1"),
        (&["inspect"], "team/docker:v1"),
        (&["list-tags"], "skopeo/copy"),
    ] {
        at_registry(command, &at(name)).await;
    }
}

async fn at_registry(command: &[&str], name: &str) {
    let creds = format!("--creds={CREDENTIALS}");
    let rest = ["--tls-verify=false", &creds, name];
    skopeo(&[command, &rest[..]].concat()).await;
}

/// Deletes an image, of which skopeo names the digest only.
pub(crate) async fn delete_with_skopeo(port: u16) {
    let name = format!("docker://127.0.0.1:{port}/skopeo/copy:v1");
    at_registry(&["delete"], &name).await;
}

/// Builds an image from nothing; pushes it as OCI and as schema 2, and with a
/// list; pulls it.
pub(crate) async fn use_buildah(port: u16, folder: &Path) {
    let at = |name: &str| format!("docker://127.0.0.1:{port}/{name}");
    let [root, runroot] = ["root", "runroot"].map(|it| folder.join(it).display().to_string());
    // Without a container runtime: nothing is run in the image.
    let store = [
        "--root",
        &root,
        "--runroot",
        &runroot,
        "--storage-driver=vfs",
    ];
    let buildah = async |arguments: &[&str]| run("buildah", &[&store, arguments].concat()).await;
    let file = folder.join("file");
    std::fs::write(&file, "built here").unwrap();
    let file = file.display().to_string();
    let (tls, creds) = ("--tls-verify=false", &*format!("--creds={CREDENTIALS}"));

    let container = buildah(&["from", "scratch"]).await;
    buildah(&["copy", &container, &file, "/file"]).await;
    buildah(&["commit", &container, "built"]).await;
    for (format, to) in [("oci", "buildah/app:v1"), ("v2s2", "buildah/docker:v1")] {
        let format = format!("--format={format}");
        buildah(&["push", tls, creds, &format, "built", &at(to)]).await;
    }
    buildah(&["rm", "--all"]).await;
    buildah(&["rmi", "--all", "--force"]).await;
    buildah(&["pull", tls, creds, &at("buildah/app:v1")]).await;
    buildah(&["pull", tls, creds, &at("buildah/docker:v1")]).await;
    buildah(&["manifest", "create", "list"]).await;
    let image = at("buildah/app:v1");
    buildah(&["manifest", "add", tls, creds, "list", &image]).await;
    let to = at("buildah/app:list");
    buildah(&["manifest", "push", tls, creds, "--all", "list", &to]).await;
}
