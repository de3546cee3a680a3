//! Texts that nobody means well with.

use proptest::prelude::*;
use tower_registry_notifications::Config;

/// Texts that are small and stand for what no memory holds.
fn bombs() -> Vec<String> {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    let mut merges = "a0: &a0 {k0: v}\n".to_owned();
    let mut chain = "a0: &a0 x\n".to_owned();
    for n in 1..2000 {
        let alias = format!("*a{},", n - 1);
        laughs += &format!("a{n}: &a{n} [{}]\n", alias.repeat(9));
        merges += &format!("a{n}: &a{n} {{<<: [{}], k{n}: v}}\n", alias.repeat(9));
        chain += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    let long = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(500_000),
        "*a, ".repeat(100_000)
    );
    vec![laughs, merges, chain, long]
}

#[test]
fn alias_bombs_are_refused() {
    for bomb in bombs() {
        assert!(bomb.len() < 1 << 20);
        let error = Config::from_yaml(&bomb).unwrap_err().to_string();
        let refused = [
            "too large: use fewer aliases",
            "nested more than 64 levels deep",
        ];
        assert!(refused.iter().any(|it| error.contains(it)), "{error}");
    }
    for text in [
        "[", "{a: ", "- ", "? ", "!a [", "&a [", "'", "\"\\", "|\n ", "%a ", "a:\n ", "&a ", "*a ",
        "# ",
    ] {
        let _ = Config::from_yaml(&text.repeat((1 << 20) / text.len()));
    }
    let stairs: String = (0..1000)
        .map(|n| format!("{}a:\n", " ".repeat(n)))
        .collect();
    let error = Config::from_yaml(&stairs).unwrap_err().to_string();
    assert!(error.contains("nested more than 64 levels deep"), "{error}");
}

/// Words that make up configurations, and what breaks them.
fn words() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "notifications:",
        "endpoints:",
        "- ",
        "  ",
        "\n",
        "name: a",
        "url: http://h",
        "timeout: ",
        "5s",
        "headers: ",
        "ignore: ",
        "actions: ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "'",
        "\"",
        "? ",
        ": ",
        "|",
        ">",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "~",
        "\u{feff}",
        "\t",
        "\0",
        "é",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|it| it.concat())
}

proptest! {
    #[test]
    fn nothing_panics(text in prop_oneof![any::<String>(), words()], value in words()) {
        if let Ok(config) = Config::from_yaml(&text) {
            let _ = config.notifier();
            for key in ["", "_ENDPOINTS", "_ENDPOINTS_0", "_ENDPOINTS_0_HEADERS_A_0"] {
                let key = format!("REGISTRY_NOTIFICATIONS{key}");
                let _ = config.clone().override_from([(key, &value)]);
            }
        }
    }
}
