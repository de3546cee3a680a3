//! What docker-registry 2.8.2+ds1 of Debian, built with go1.19.8, posted when
//! these manifests were pushed to it.

use crate::table::Read::{As, Refused};
use crate::table::{DOCKER, INDEX, LIST, OCI, Row};

/// Makes a table of the rows, and a test of each.
macro_rules! rows {
    ($($name:ident: $kind:ident $manifest:literal => $posted:expr $(, but $here:expr, $why:literal)?;)*) => {
        pub(crate) const ROWS: &[Row] = &[$(rows!(@row $name $kind $manifest $posted $(, $here, $why)?)),*];

        $(#[test]
        fn $name() {
            crate::check(&rows!(@row $name $kind $manifest $posted $(, $here, $why)?));
        })*
    };
    (@row $name:ident $kind:ident $manifest:literal $posted:expr) => {
        Row { name: stringify!($name), kind: $kind, manifest: $manifest, posted: $posted, differs: None }
    };
    (@row $name:ident $kind:ident $manifest:literal $posted:expr, $here:expr, $why:literal) => {
        Row { name: stringify!($name), kind: $kind, manifest: $manifest, posted: $posted, differs: Some(($here, $why)) }
    };
}

rows! {
    ordinary: OCI
        br#"{@@,"config":@c,"layers":[@1,@2]}"#
        => As(r#"[@c,@1,@2]"#);
    ordinary_docker: DOCKER
        br#"{@@,"config":@c,"layers":[@1,@2]}"#
        => As(r#"[@c,@1,@2]"#);
    ordinary_index: INDEX
        br#"{@@,"manifests":[@m]}"#
        => As(r#"[@m]"#);
    ordinary_list: LIST
        br#"{@@,"manifests":[{"mediaType":"x","digest":"%m","size":3,"platform":{"architecture":"a","os":"o"}}]}"#
        => As(r#"[{"digest":"%m","mediaType":"x","size":3}]"#);
    layers_capitalized: OCI
        br#"{@@,"config":@c,"Layers":[@1]}"#
        => As(r#"[@c,@1]"#);
    layers_in_capitals_after_layers: OCI
        br#"{@@,"config":@c,"layers":[@1],"LAYERS":[@2]}"#
        => As(r#"[@c,@2]"#);
    layers_after_layers_in_capitals: OCI
        br#"{@@,"config":@c,"LAYERS":[@1],"layers":[@2]}"#
        => As(r#"[@c,@2]"#);
    config_and_its_fields_in_capitals: OCI
        br#"{@@,"CONFIG":{"MEDIATYPE":"t","DIGEST":"%c","SIZE":1},"layers":[]}"#
        => As(r#"[{"digest":"%c","mediaType":"t","size":1}]"#);
    media_type_of_the_manifest_in_capitals: OCI
        br#"{"schemaVersion":2,"MEDIAtype":"application/vnd.oci.image.manifest.v1+json","config":@c,"layers":[@1]}"#
        => As(r#"[@c,@1]"#);
    long_s_folds: OCI
        br#"{@@,"config":@c,"layer\u017f":[@1]}"#
        => As(r#"[@c,@1]"#);
    long_s_in_utf8_folds: OCI
        b"{@@,\"config\":@c,\"layer\xc5\xbf\":[@1]}"
        => As(r#"[@c,@1]"#);
    kelvin_sign_is_part_of_no_name: OCI
        br#"{@@,"config":@c,"layers":[@1],"layers\u212a":[@2]}"#
        => As(r#"[@c,@1]"#);
    escaped_key: OCI
        br#"{@@,"config":@c,"l\u0061yers":[@1]}"#
        => As(r#"[@c,@1]"#);
    layers_twice: OCI
        br#"{@@,"config":@c,"layers":[@1],"layers":[@2]}"#
        => As(r#"[@c,@2]"#);
    layers_twice_merge: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":["u"],"annotations":{"a":"1"}}],"layers":[{"digest":"%2","annotations":{"b":"2"}}]}"#
        => As(r#"[@c,{"annotations":{"a":"1","b":"2"},"digest":"%2","mediaType":"a","size":1,"urls":["u"]}]"#);
    layers_twice_shorter: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":[{"size":9}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"t/1","size":9}]"#);
    layers_hidden_come_back: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":[{"size":9}],"layers":[{},{}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"t/1","size":9},@2]"#);
    layers_emptied_do_not_come_back: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":[],"layers":[{"digest":"%2"},{"digest":"%1"}]}"#
        => As(r#"[@c,{"digest":"%2"},{"digest":"%1"}]"#);
    layers_emptied_by_array: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":[]}"#
        => As(r#"[@c]"#);
    layers_nulled: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":null}"#
        => As(r#"[@c]"#);
    layers_nulled_then_filled: OCI
        br#"{@@,"config":@c,"layers":[@1,@2],"layers":null,"layers":[{"digest":"%2"}]}"#
        => As(r#"[@c,{"digest":"%2"}]"#);
    layers_grow: OCI
        br#"{@@,"config":@c,"layers":[@1],"layers":[{"size":5},@2,@1,@2,@1,@2]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"t/1","size":5},@2,@1,@2,@1,@2]"#);
    layers_hidden_beyond_growth: OCI
        br#"{@@,"config":@c,"layers":[@1,@2,@1,@2,@1],"layers":[@2],"layers":[null,null,null,null,null,{"digest":"%1"},{"digest":"%1"}]}"#
        => As(r#"[@c,@2,@2,@1,@2,@1,{"digest":"%1"},{"digest":"%1"}]"#);
    null_layer_keeps_the_earlier: OCI
        br#"{@@,"config":@c,"layers":[@1],"layers":[null]}"#
        => As(r#"[@c,@1]"#);
    null_layers: OCI
        br#"{@@,"config":@c,"layers":null}"#
        => As(r#"[@c]"#);
    no_layers: OCI
        br#"{@@,"config":@c}"#
        => As(r#"[@c]"#);
    config_twice_merge: OCI
        br#"{@@,"config":{"mediaType":"a","digest":"%c","size":7},"config":{"size":8},"layers":[]}"#
        => As(r#"[{"digest":"%c","mediaType":"a","size":8}]"#);
    config_then_null: OCI
        br#"{@@,"config":@c,"config":null,"layers":[]}"#
        => As(r#"[@c]"#);
    null_config: OCI
        br#"{@@,"config":null,"layers":[]}"#
        => Refused;
    no_config: OCI
        br#"{@@,"layers":[@1]}"#
        => Refused;
    digest_and_digest_capitalized: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","Digest":"%2","size":1}]}"#
        => As(r#"[@c,{"digest":"%2","mediaType":"a","size":1}]"#);
    digest_twice: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","digest":"%2","size":1}]}"#
        => As(r#"[@c,{"digest":"%2","mediaType":"a","size":1}]"#);
    digest_then_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","digest":null,"size":1}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    size_negative: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":-1}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":-1}]"#),
        but As(r#"[@c,{"digest":"%1","mediaType":"a"}]"#), "a negative size is not a size, and `Descriptor::size` has none";
    size_minus_zero: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":-0}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a"}]"#);
    size_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":null}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a"}]"#);
    size_missing: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1"}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a"}]"#);
    size_exponent: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1e2}]}"#
        => Refused;
    size_fraction: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1.0}]}"#
        => Refused;
    size_string: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":"1"}]}"#
        => Refused;
    size_largest: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":9223372036854775807}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":9223372036854775807}]"#);
    size_too_large: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":9223372036854775808}]}"#
        => Refused;
    size_leading_zero: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":01}]}"#
        => Refused;
    media_type_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":null,"digest":"%1","size":1}]}"#
        => As(r#"[@c,{"digest":"%1","size":1}]"#);
    media_type_number: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":1,"digest":"%1","size":1}]}"#
        => Refused;
    annotations_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"annotations":null}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    annotations_null_value: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"annotations":{"a":"1","a":null,"b":null}}]}"#
        => As(r#"[@c,{"annotations":{"a":"","b":""},"digest":"%1","mediaType":"a","size":1}]"#);
    annotations_merge: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"annotations":{"a":"1","b":"1"},"Annotations":{"b":"2","":"3"}}]}"#
        => As(r#"[@c,{"annotations":{"":"3","a":"1","b":"2"},"digest":"%1","mediaType":"a","size":1}]"#);
    annotations_nulled: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"annotations":{"a":"1"},"annotations":null}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    annotations_number: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"annotations":{"a":1}}]}"#
        => Refused;
    urls_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":null}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    urls_null_element: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":["u",null,"v"]}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1,"urls":["u","","v"]}]"#);
    urls_hidden_come_back: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":["u","v"],"urls":["w"],"urls":[null,null]}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1,"urls":["w","v"]}]"#);
    urls_string: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":"u"}]}"#
        => Refused;
    urls_object: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"urls":{}}]}"#
        => Refused;
    platform_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":null}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    platform_empty: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":{}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","platform":{"architecture":"","os":""},"size":1}]"#);
    platform_os_null: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":{"os":null,"architecture":"a"}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","platform":{"architecture":"a","os":""},"size":1}]"#);
    platform_merge: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":{"os":"o","os.features":["f","g"]},"platform":{"Architecture":"a","OS.Version":"1","os.features":["h"],"variant":"v"}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","platform":{"architecture":"a","os":"o","os.features":["h"],"os.version":"1","variant":"v"},"size":1}]"#);
    platform_nulled_then_set: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":{"os":"o"},"platform":null,"platform":{"variant":"v"}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","platform":{"architecture":"","os":"","variant":"v"},"size":1}]"#);
    platform_features_number: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":{"features":1}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","platform":{"architecture":"","os":""},"size":1}]"#);
    platform_array: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"platform":[]}]}"#
        => Refused;
    lone_surrogate: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a\ud800b\udc00\ud800\ud83d\ude00","digest":"%1","size":1}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a\ufffdb\ufffd\ufffd\ud83d\ude00","size":1}]"#);
    escapes: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"\b\f\n\r\t\/\\\"\u00e9\uD83D\uDE00","digest":"%1","size":1}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"\b\f\n\r\t/\\\"\u00e9\ud83d\ude00","size":1}]"#);
    bad_escape: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"\x","digest":"%1","size":1}]}"#
        => Refused;
    short_unicode_escape: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"\u12","digest":"%1","size":1}]}"#
        => Refused;
    invalid_utf8: OCI
        b"{@@,\"config\":@c,\"layers\":[{\"mediaType\":\"a\xffb\xe2\x82c\xf0\x9f\x98\xed\xa0\x80\",\"digest\":\"%1\",\"size\":1}]}"
        => As(r#"[@c,{"digest":"%1","mediaType":"a\ufffdb\ufffd\ufffdc\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd","size":1}]"#);
    invalid_utf8_in_unknown_key: OCI
        b"{@@,\"config\":@c,\"layers\xff\":[@2],\"layers\":[@1]}"
        => As(r#"[@c,@1]"#);
    control_character_in_string: OCI
        b"{@@,\"config\":@c,\"layers\":[{\"mediaType\":\"a\x01\",\"digest\":\"%1\",\"size\":1}]}"
        => Refused;
    delete_character_in_string: OCI
        b"{@@,\"config\":@c,\"layers\":[{\"mediaType\":\"a\x7f\",\"digest\":\"%1\",\"size\":1}]}"
        => As(r#"[@c,{"digest":"%1","mediaType":"a\u007f","size":1}]"#);
    byte_order_mark: OCI
        b"\xef\xbb\xbf{@@,\"config\":@c,\"layers\":[@1]}"
        => Refused;
    white_space: OCI
        b" \t\r\n{ @@ ,\n\"config\" : @c\r,\t\"layers\" :\t[ @1 , @2 ] } \n"
        => As(r#"[@c,@1,@2]"#);
    form_feed: OCI
        b"{\x0c@@,\"config\":@c,\"layers\":[@1]}"
        => Refused;
    trailing_data: OCI
        br#"{@@,"config":@c,"layers":[@1]}{}"#
        => Refused;
    trailing_comma_in_array: OCI
        br#"{@@,"config":@c,"layers":[@1,]}"#
        => Refused;
    trailing_comma_in_object: OCI
        br#"{@@,"config":@c,"layers":[@1],}"#
        => Refused;
    comment: OCI
        br#"{@@,"config":@c,"layers":[@1]/**/}"#
        => Refused;
    unknown_field_of_broken_syntax: OCI
        br#"{@@,"config":@c,"layers":[@1],"x":[1,{"y":tru}]}"#
        => Refused;
    unknown_fields: OCI
        br#"{@@,"config":@c,"layers":[@1],"":1,"x":[1,-2.5e+3,{"y":true,"z":{}},[],"\ud800"],"x":null}"#
        => As(r#"[@c,@1]"#);
    unknown_fields_of_a_layer: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"x":[{}],"":{}}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    subject: OCI
        br#"{@@,"config":@c,"layers":[@1],"subject":@2}"#
        => As(r#"[@c,@1]"#);
    subject_of_another_type: OCI
        br#"{@@,"config":@c,"layers":[@1],"subject":"x"}"#
        => As(r#"[@c,@1]"#);
    layers_object: OCI
        br#"{@@,"config":@c,"layers":{}}"#
        => Refused;
    layer_string: OCI
        br#"{@@,"config":@c,"layers":["x"]}"#
        => Refused;
    config_array: OCI
        br#"{@@,"config":[],"layers":[]}"#
        => Refused;
    schema_version_string: OCI
        br#"{"schemaVersion":"2","mediaType":"application/vnd.oci.image.manifest.v1+json","config":@c,"layers":[@1]}"#
        => Refused;
    schema_version_null_after: OCI
        br#"{@@,"schemaVersion":null,"config":@c,"layers":[@1]}"#
        => As(r#"[@c,@1]"#);
    schema_version_fraction: OCI
        br#"{"schemaVersion":2.0,"config":@c,"layers":[@1]}"#
        => Refused;
    top_annotations_number: OCI
        br#"{@@,"config":@c,"layers":[@1],"annotations":{"a":1}}"#
        => Refused;
    top_annotations_null: OCI
        br#"{@@,"config":@c,"layers":[@1],"annotations":{"a":null}}"#
        => As(r#"[@c,@1]"#);
    top_annotations_of_docker: DOCKER
        br#"{@@,"config":@c,"layers":[@1],"annotations":5}"#
        => As(r#"[@c,@1]"#);
    no_media_type: OCI
        br#"{"schemaVersion":2,"config":@c,"layers":[@1]}"#
        => As(r#"[@c,@1]"#);
    null_media_type: OCI
        br#"{"schemaVersion":2,"mediaType":null,"config":@c,"layers":[@1]}"#
        => As(r#"[@c,@1]"#);
    other_media_type: OCI
        br#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":@c,"layers":[@1]}"#
        => Refused;
    media_type_twice: OCI
        br#"{"schemaVersion":2,"mediaType":"x","config":@c,"layers":[@1],"MediaType":"application/vnd.oci.image.manifest.v1+json"}"#
        => As(r#"[@c,@1]"#);
    manifests_in_an_image: OCI
        br#"{@@,"config":@c,"layers":[@1],"manifests":[]}"#
        => Refused;
    manifests_in_an_image_nulled: OCI
        br#"{@@,"config":@c,"layers":[@1],"manifests":[],"Manifests":null}"#
        => As(r#"[@c,@1]"#);
    manifests_in_a_docker_image: DOCKER
        br#"{@@,"config":@c,"layers":[@1],"manifests":[@m]}"#
        => As(r#"[@c,@1]"#);
    layers_in_an_index: INDEX
        br#"{@@,"manifests":[@m],"layers":[]}"#
        => Refused;
    config_in_an_index: INDEX
        br#"{@@,"manifests":[@m],"CONFIG":1}"#
        => Refused;
    null_config_in_an_index: INDEX
        br#"{@@,"manifests":[@m],"config":null}"#
        => As(r#"[@m]"#);
    config_in_a_list: LIST
        br#"{@@,"manifests":[@m],"config":@c}"#
        => As(r#"[@m]"#);
    manifests_twice_merge: INDEX
        br#"{@@,"manifests":[@m,@m],"manifests":[{"mediaType":"x"}]}"#
        => As(r#"[{"digest":"%m","mediaType":"x","size":432}]"#);
    manifests_with_a_capital: INDEX
        br#"{@@,"manifestS":[@m]}"#
        => As(r#"[@m]"#);
    manifests_null: INDEX
        br#"{@@,"manifests":null}"#
        => As(r#"[]"#);
    index_without_manifests: INDEX
        br#"{@@}"#
        => As(r#"[]"#);
    index_platform_null: INDEX
        br#"{@@,"manifests":[{"mediaType":"x","digest":"%m","size":3,"platform":null}]}"#
        => As(r#"[{"digest":"%m","mediaType":"x","size":3}]"#);
    index_platform_string: INDEX
        br#"{@@,"manifests":[{"mediaType":"x","digest":"%m","size":3,"platform":"x"}]}"#
        => Refused;
    index_without_media_type: INDEX
        br#"{"schemaVersion":2,"manifests":[@m]}"#
        => As(r#"[@m]"#);
    list_features_number: LIST
        br#"{@@,"manifests":[{"mediaType":"x","digest":"%m","size":3,"platform":{"architecture":"a","os":"o","features":1}}]}"#
        => Refused;
    list_platform_null_keeps: LIST
        br#"{@@,"manifests":[{"mediaType":"x","digest":"%m","size":3,"platform":{"os":"o"},"platform":null}]}"#
        => As(r#"[{"digest":"%m","mediaType":"x","size":3}]"#);
    list_annotations: LIST
        br#"{@@,"annotations":1,"manifests":[{"mediaType":"x","digest":"%m","size":3,"annotations":{"a":"b"},"urls":["u"]}]}"#
        => As(r#"[{"annotations":{"a":"b"},"digest":"%m","mediaType":"x","size":3,"urls":["u"]}]"#);
    index_annotations_number: INDEX
        br#"{@@,"annotations":{"a":1},"manifests":[@m]}"#
        => As(r#"[@m]"#),
        but Refused, "distribution 2.8 does not look at the annotations of an index, version 3 refuses it";
    artifact_type_number: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"artifactType":5}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#),
        but Refused, "distribution 2.8 does not know `artifactType`, version 3 refuses it";
    artifact_type: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"artifactType":"t"}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    data_odd: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"data":"b25l\r\n"}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#);
    data_invalid: OCI
        br#"{@@,"config":@c,"layers":[{"mediaType":"a","digest":"%1","size":1,"data":"b25"}]}"#
        => As(r#"[@c,{"digest":"%1","mediaType":"a","size":1}]"#),
        but Refused, "distribution 2.8 does not know `data`, version 3 refuses it";
    top_null: OCI
        br#"null"#
        => Refused;
    top_array: OCI
        br#"[{@@,"config":@c,"layers":[@1]}]"#
        => Refused;
    top_string: OCI
        br#""x""#
        => Refused;
    empty: OCI
        br#""#
        => Refused;
}
