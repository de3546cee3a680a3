use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::read;
use crate::event::go_json::Fault;
use crate::event::media_types::{self, ManifestKind};
use crate::event::{Descriptor, Platform};

fn references(kind: ManifestKind, content: &[u8]) -> Result<Vec<Descriptor>, Fault> {
    Ok(read(content, Some(kind))?.references?.to_descriptors())
}

/// The only layer, whose fields these are.
fn layer(fields: &str) -> Option<Descriptor> {
    let content = format!(r#"{{"config":{{"digest":"c"}},"layers":[{{{fields}}}]}}"#);
    let references = references(ManifestKind::OciManifest, content.as_bytes()).ok()?;
    references.into_iter().nth(1)
}

#[test]
fn data_is_base64_with_line_ends_or_an_array_of_bytes() {
    for (fields, data) in [
        (r#""data":"b25l""#, Some(&b"one"[..])),
        (r#""data":"b2\r\n5l\n""#, Some(b"one")),
        (r#""data":"b24\n=""#, Some(b"on")),
        // The unused bits of the last character are ignored.
        (r#""data":"b25=""#, Some(b"on")),
        (r#""data":"""#, Some(b"")),
        (r#""data":null"#, Some(b"")),
        (r#""data":"b25l","data":null"#, Some(b"")),
        (r#""data":"b25l","DATA":"dHdv""#, Some(b"two")),
        (r#""data":[111,110,null,0]"#, Some(b"on\0\0")),
        (
            r#""data":"b25l","data":[116],"data":[null,null]"#,
            Some(b"tn"),
        ),
        (r#""data":"b25""#, None),
        (r#""data":"b25l=""#, None),
        (r#""data":"b2 5l""#, None),
        (r#""data":"b2-_""#, None),
        (r#""data":[256]"#, None),
        (r#""data":[-1]"#, None),
        (r#""data":5"#, None),
        (r#""data":{}"#, None),
    ] {
        let layer = layer(fields);
        assert_eq!(layer.as_ref().map(|it| &*it.data), data, "{fields}");
    }
}

#[test]
fn the_fields_that_only_version_3_knows_have_their_types() {
    let text = r#""artifactType":"t","ArtifactType":null"#;
    assert_eq!(layer(text).unwrap().artifact_type, "t");
    assert_eq!(layer(r#""artifactType":5"#), None);
    for (kind, content) in [
        (
            ManifestKind::OciIndex,
            r#"{"manifests":[],"annotations":{"a":1}}"#,
        ),
        (
            ManifestKind::OciIndex,
            r#"{"manifests":[],"schemaVersion":2.0}"#,
        ),
        (
            ManifestKind::OciIndex,
            r#"{"manifests":[],"schemaVersion":9223372036854775808}"#,
        ),
        (
            ManifestKind::DockerList,
            r#"{"manifests":[{"platform":{"features":[1]}}]}"#,
        ),
    ] {
        let fault = references(kind, content.as_bytes()).unwrap_err();
        assert!(matches!(fault, Fault::Type(_)), "{content}: {fault:?}");
    }
}

#[test]
fn broken_syntax_is_found_after_any_other_fault() {
    for before in [r#""config":5"#, r#""layers":{}"#, r#""mediaType":1"#] {
        let content = format!(r#"{{{before},"layers":[1,]}}"#);
        let fault = read(content.as_bytes(), Some(ManifestKind::OciManifest)).unwrap_err();
        assert!(matches!(fault, Fault::Syntax(_)), "{content}: {fault:?}");
    }
}

#[test]
fn fields_that_are_not_posted_take_no_memory() {
    let text = "x".repeat(2 << 20);
    let content = format!(
        r#"{{"manifests":[{{"digest":"d","x":"{text}"}}],"annotations":{{"a":"{text}"}}}}"#
    );
    let references = references(ManifestKind::OciIndex, content.as_bytes()).unwrap();
    assert_eq!(references, [Descriptor::new("", "d", 0)]);
}

#[test]
fn overwritten_values_count_towards_the_memory() {
    let text = "x".repeat(100_000);
    let field = format!(r#""mediaType":"{text}""#);
    assert!(layer(&[&*field; 9].join(",")).is_some());
    assert_eq!(layer(&[&*field; 11].join(",")), None);
}

#[derive(Debug, Deserialize)]
struct Image {
    config: Descriptor,
    layers: Option<Vec<Descriptor>>,
}

fn strings() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<String>(), 0..3)
}

fn platform() -> impl Strategy<Value = Platform> {
    (any::<[String; 4]>(), strings()).prop_map(|(strings, os_features)| {
        let [architecture, os, os_version, variant] = strings;
        Platform {
            architecture,
            os,
            os_version,
            os_features,
            variant,
        }
    })
}

/// Descriptors without oddities.
fn descriptor() -> impl Strategy<Value = Descriptor> {
    let any_string = any::<String>;
    let media_type = prop_oneof![any_string(), Just("a/b".into()), Just("c/<d>".into())];
    let digest = prop_oneof![any_string(), "[0-9a-f]{64}", "[ -~]{63}[é\"\\\\<]"];
    let size = prop_oneof![0..=i64::MAX as u64, 0..1_000_000_000_u64];
    let kept = (media_type, digest, any_string(), size);
    let annotations = prop::collection::btree_map(any::<String>(), any::<String>(), 0..3);
    let data = prop::collection::vec(any::<u8>(), 0..9);
    let platform = prop::option::of(platform().prop_map(Box::new));
    (kept, strings(), annotations, data, platform).prop_map(
        |((media_type, digest, artifact_type, size), urls, annotations, data, platform)| {
            Descriptor {
                urls,
                annotations,
                data,
                platform,
                artifact_type,
                ..Descriptor::new(media_type, format!("sha256:{digest}"), size)
            }
        },
    )
}

/// Writes a value with spaces and escapes that change nothing, wherever a choice is 0.
fn respelled(value: &Value, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    let mut odd = |odd: &str, usual: &str| match choices.next() {
        Some(0) => odd.to_owned(),
        _ => usual.to_owned(),
    };
    out.push_str(&odd(" \n\t     ", ""));
    match value {
        Value::String(text) => {
            out.push('"');
            for character in text.chars() {
                let usual = serde_json::to_string(&character).unwrap();
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                let escaped: String = units.iter().map(|it| format!("\\u{it:04X}")).collect();
                out.push_str(&odd(&escaped, &usual[1..usual.len() - 1]));
            }
            out.push('"');
        }
        Value::Array(values) => {
            out.push('[');
            for (number, value) in values.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                respelled(value, choices, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (number, (name, value)) in fields.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                respelled(&Value::from(&**name), choices, out);
                out.push(':');
                respelled(value, choices, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
    if choices.next() == Some(0) {
        out.push(' ');
    }
}

/// Pieces of manifests, whole and torn.
fn odd() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        r#"{"config":{"digest":"c"},"#,
        r#""layers":["#,
        r#""manifests":["#,
        r#"{"digest":"d","#,
        r#""platform":{"#,
        r#""annotations":{"#,
        r#""urls":["#,
        r#""os.features":["#,
        r#""data":"#,
        r#""a":"b""#,
        "null",
        "1",
        "\"b25l\"",
        ",",
        "]",
        "}",
        "{}",
        "[]",
        "\\",
        "\"",
    ]);
    let piece = prop_oneof![
        9 => piece.prop_map(|it| it.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_content_makes_it_panic(content in odd()) {
        for kind in [
            ManifestKind::OciManifest,
            ManifestKind::DockerManifest,
            ManifestKind::OciIndex,
            ManifestKind::DockerList,
        ] {
            let _ = references(kind, &content);
        }
    }

    #[test]
    fn ordinary_manifests_are_read_as_serde_reads_them(
        descriptors in prop::collection::vec(descriptor(), 1..5),
        pretty in any::<bool>(),
    ) {
        let (config, layers) = descriptors.split_first().unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_types::OCI_MANIFEST,
            "config": config,
            "layers": layers,
            "annotations": {"a": "b"},
            "subject": config,
        });
        let content = match pretty {
            true => serde_json::to_vec_pretty(&manifest).unwrap(),
            false => serde_json::to_vec(&manifest).unwrap(),
        };
        let image: Image = serde_json::from_slice(&content).unwrap();
        let mut wanted = vec![image.config];
        wanted.extend(image.layers.unwrap());
        prop_assert_eq!(&wanted, &descriptors);
        prop_assert_eq!(references(ManifestKind::OciManifest, &content), Ok(wanted));
    }

    /// Whatever is compared with its usual spelling first must be read the same in
    /// any other.
    #[test]
    fn a_manifest_is_read_the_same_however_it_is_spelled(
        descriptors in prop::collection::vec(descriptor(), 1..5),
        rarity in 2..100_u8,
        choices in prop::collection::vec(any::<u8>(), 100..2_000),
    ) {
        let (config, layers) = descriptors.split_first().unwrap();
        let manifest = serde_json::json!({"config": config, "layers": layers});
        let mut spelled = String::new();
        let mut choices = choices.iter().map(|it| it % rarity).cycle();
        respelled(&manifest, &mut choices, &mut spelled);
        let read = references(ManifestKind::OciManifest, spelled.as_bytes());
        prop_assert_eq!(read, Ok(descriptors), "{}", spelled);
    }
}
