//! Images in an OCI layout, for clients to copy.

use std::path::Path;

use examples::image::{Content, Image};
use serde_json::{Value, json};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An index of images for these architectures.
pub(crate) fn index(images: &[(&str, &Image)]) -> Content {
    let manifests: Vec<Value> = images
        .iter()
        .map(|(architecture, image)| {
            let mut descriptor = image.manifest.descriptor();
            descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
            descriptor
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    Content::new(INDEX, index.to_string().into_bytes())
}

/// Writes an OCI layout with these tags: name, manifest or index, and images.
pub(crate) fn write_layout(folder: &Path, tags: &[(&str, &Content, &[&Image])]) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let write = |content: &Content| {
        let name = content.digest.trim_start_matches("sha256:");
        std::fs::write(blobs.join(name), &content.bytes).unwrap();
    };
    let mut manifests = Vec::new();
    for (tag, top, images) in tags {
        write(top);
        for image in *images {
            write(&image.config);
            write(&image.layer);
            write(&image.manifest);
        }
        let mut descriptor = top.descriptor();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    std::fs::write(folder.join("oci-layout"), version.to_string()).unwrap();
}
