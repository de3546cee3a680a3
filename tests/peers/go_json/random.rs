//! Manifests at random, with keys repeated in any case.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// An image whose first layers are all there, so that most of what follows
/// hits the memory of Go's slices.
pub(crate) fn images() -> impl Strategy<Value = String> {
    let first = vec(first_layer(), 1..4);
    (first, vec(member(), 1..6)).prop_map(|(first, members)| {
        let first = first.join(",");
        let members = members.join(",");
        format!(r#"{{@@,"config":@c,"layers":[{first}],{members}}}"#)
    })
}

/// A field of a manifest.
fn member() -> impl Strategy<Value = String> {
    let layers = select(vec![
        "layers",
        "Layers",
        "LAYERS",
        r"layer\u017f",
        r"\u006cayers",
    ]);
    let list = vec(layer(), 0..5).prop_map(|layers| format!("[{}]", layers.join(",")));
    let list = prop_oneof![6 => list, 1 => Just("null".to_owned())];
    let layers = (layers, list).prop_map(|(key, list)| format!("\"{key}\":{list}"));
    let config = layer().prop_map(|layer| format!("\"Config\":{layer}"));
    prop_oneof![5 => layers, 1 => config, 1 => field(&["x", "annotations"], &ANNOTATIONS)]
}

fn first_layer() -> impl Strategy<Value = String> {
    let digest = select(vec![r#""digest":"%1""#, r#""digest":"%2""#]);
    (digest, vec(layer_field(), 0..6))
        .prop_map(|(digest, fields)| format!("{{{digest},{}}}", fields.join(",")))
        .prop_map(|layer| layer.replace(",}", "}"))
}

fn layer() -> impl Strategy<Value = String> {
    let fields = vec(layer_field(), 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")));
    prop_oneof![1 => Just("null".to_owned()), 2 => first_layer(), 4 => fields]
}

fn layer_field() -> impl Strategy<Value = String> {
    prop_oneof![
        field(
            &["digest", "Digest", r"dige\u017ft"],
            &[r#""%1""#, r#""%2""#, "null"]
        ),
        field(&["size", "SIZE"], &["1", "2048", "-0", "null"]),
        field(
            &["mediaType", "mediatype"],
            &[r#""a""#, r#""\ud800b<""#, r#""""#, "null"]
        ),
        field(&["urls", "URLs"], &URLS),
        field(&["annotations", "Annotations"], &ANNOTATIONS),
        field(&["platform", "Platform"], &PLATFORMS),
        field(
            &["x", "", "platforms"],
            &["1.5e3", "[{}]", r#"{"a":[null,true]}"#]
        ),
    ]
}

const URLS: [&str; 6] = [
    "null",
    "[]",
    r#"["u"]"#,
    r#"["v",null]"#,
    "[null,null,null]",
    r#"["w","x","y"]"#,
];
const ANNOTATIONS: [&str; 4] = [
    "null",
    "{}",
    r#"{"a":"1","b":null}"#,
    r#"{"b":"2","":"3","b":"4"}"#,
];
const PLATFORMS: [&str; 6] = [
    "null",
    "{}",
    r#"{"os":"o","architecture":null}"#,
    r#"{"OS":null,"variant":"v","os.features":["f","g"]}"#,
    r#"{"os.features":["h"],"Os.Version":"1"}"#,
    r#"{"o\u017f.feature\u017f":[null,null],"architecture":"a"}"#,
];

fn field(
    keys: &'static [&'static str],
    values: &'static [&'static str],
) -> impl Strategy<Value = String> {
    (select(keys), select(values)).prop_map(|(key, value)| format!("\"{key}\":{value}"))
}
