use std::path::Path;

use crate::common::{PIP, installed};
use crate::shell;

/// Checks what kustomize makes, or, without kubectl, the manifests that need no kustomize, by the API's schema.
const VALIDATE: &str = r"
import sys, yaml, kubernetes_validate
for document in yaml.safe_load_all(sys.stdin):
    kubernetes_validate.validate(document, '1.36', strict=True)
    print(document['kind'], document['metadata']['name'])
";

#[test]
#[ignore = "installs the API's schema"]
fn the_manifests_are_valid_and_the_sidecar_is_in_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("tests/packages");
    let packages = installed(&sources, "kubernetes", "requirements.txt", PIP);
    let script = format!(
        "if command -v kubectl >/dev/null; then kubectl kustomize deploy/kubernetes/example; \
         else cat deploy/kubernetes/example/application.yaml <(echo ---) deploy/kubernetes/example/redis.yaml; fi | \
         PYTHONPATH=\"$1\" python3 -c \"{VALIDATE}\""
    );
    let checked = shell(root, &script, &[&packages]);
    assert!(checked.contains("Deployment application"), "{checked}");
    assert!(checked.contains("Service redis"), "{checked}");
}

#[test]
fn the_sidecar_has_settings_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patch = std::fs::read_to_string(root.join("deploy/kubernetes/sidecar/patch.yaml"))
        .expect("the patch");
    let names = patch
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- name: REDIS_PROXY_"));
    let names: Vec<_> = names.map(str::to_lowercase).collect();
    assert!(names.len() > 4, "{patch}");
    for name in &names {
        let known = redis_proxy::config::describe().flags;
        assert!(known.iter().any(|flag| flag.name == *name), "{name}");
    }
    assert!(patch.contains("restartPolicy: Always"));
}
