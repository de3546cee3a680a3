//! Every configuration that is shipped or shown in the docs.

use std::path::{Path, PathBuf};

use tower_registry_notifications::{BuildError, Config};

/// All files below a folder whose names end so.
fn files(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, end, found);
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
}

/// The YAML in the code blocks of a text, which may be in comments of Rust.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let bare = bare
            .strip_prefix("///")
            .or_else(|| bare.strip_prefix("//!"));
        let line = bare.map_or(line, |it| it.strip_prefix(' ').unwrap_or(it));
        match (&mut block, line.trim()) {
            (None, "```yaml" | "```yml") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), _) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(block.is_none(), "a block has no end: {text}");
    blocks
}

/// Builds a configuration as it stands; what it keeps on disk goes to a folder of the
/// test's.
fn build(text: &str) -> Result<(), BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("/var/lib/registry", folder.path().to_str().unwrap());
    Config::from_yaml(&text)?.notifier()?.build().map(drop)
}

#[tokio::test]
async fn every_shipped_file_builds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shipped = Vec::new();
    for end in [".yml", ".yaml"] {
        files(&root.join("examples"), end, &mut shipped);
        files(&root.join("docs"), end, &mut shipped);
    }
    assert!(!shipped.is_empty());
    for file in shipped {
        let text = std::fs::read_to_string(&file).unwrap();
        build(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

#[tokio::test]
async fn every_configuration_in_the_docs_builds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut docs = Vec::new();
    files(&root.join("src"), ".rs", &mut docs);
    files(&root.join("docs"), ".md", &mut docs);
    docs.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|it| root.join(it)));
    let mut built = 0;
    for file in docs {
        let text = std::fs::read_to_string(&file).unwrap();
        for block in blocks(&text) {
            build(&block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", file.display()));
            built += 1;
        }
    }
    assert!(built > 0, "no configuration was found");
}

#[tokio::test]
async fn the_files_of_a_disabled_endpoint_are_not_required() {
    let text = "notifications:
  endpoints:
    - name: later
      disabled: true
      url: https://later.example.com/
      systemroots: false
      rootcertificates: [/not/there.pem]
      clientcertificate: {certificate: /not/there.pem, key: /not/there.pem}
      signingsecrets: ['file:/not/there']
";
    build(text).unwrap();
    let error = build(&text.replace("disabled: true", "")).unwrap_err();
    assert_eq!(error.mistakes().len(), 4, "{error}");
}
