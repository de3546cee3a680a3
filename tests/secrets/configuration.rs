//! A configuration file that is wrong by one character, wherever that is.

use tower_registry_notifications::Config;

use crate::search::{Secret, Secrets};
use crate::{BEARER, COOKIE, HMAC, PASSWORD, SIGNING};

/// What breaks YAML.
const BREAKS: [&str; 14] = [
    "", ":", ": ", "\n", "\n- ", "[", "]", "{", "}", "\"", "'", "&", "!", "\t",
];

/// A file with a secret wherever one belongs.
fn file() -> String {
    let userinfo = "robot:hush%2Dpass%2Dword";
    format!(
        "notifications:
  endpoints:
    - name: ci
      url: https://{userinfo}@receiver/events
      headers:
        Authorization: [Bearer {BEARER}]
        Cookie:
          - {COOKIE}
          - \"quoted-{PASSWORD}\"
      timeout: 1s
      signingsecrets:
        - {}
        - {}
      hmac:
        - header: X-Signature
          secret: {HMAC}
        - {{header: X-Hub-Signature-256, secret: \"{HMAC}\"}}
",
        SIGNING[0], SIGNING[1]
    )
}

/// Each in two parts, of which one is always whole.
fn halves() -> Secrets {
    let bare = SIGNING[0].trim_start_matches("whsec_");
    let secrets = [
        BEARER,
        &COOKIE[8..],
        PASSWORD,
        "hush%2Dpass%2Dword",
        bare,
        SIGNING[1],
        HMAC,
    ];
    let halves = secrets.iter().flat_map(|secret| {
        let middle = secret.len() / 2;
        let middle = (middle..).find(|at| secret.is_char_boundary(*at)).unwrap();
        let (first, second) = secret.split_at(middle);
        [
            Secret::new("first half", first),
            Secret::new("second half", second),
        ]
    });
    Secrets(halves.collect())
}

#[test]
fn no_secret_appears_when_a_file_is_wrong_by_one_character() {
    let (file, halves) = (file(), halves());
    let config = Config::from_yaml(&file).unwrap();
    halves.assert_none_in("config", &format!("{config:?} {config:#?}"));
    assert!(halves.found_in(&file).is_some());

    let mut wrong = 0;
    for (at, character) in file.char_indices() {
        for text in BREAKS {
            let rest = &file[at + character.len_utf8()..];
            let changed = [&file[..at], text, rest].concat();
            let read = Config::from_yaml(&changed);
            let built = read.and_then(|config| config.notifier());
            let said = match built {
                Ok(builder) => format!("{builder:?}"),
                Err(error) => {
                    wrong += 1;
                    format!("{error} {error:?}")
                }
            };
            halves.assert_none_in(&changed, &said);
        }
    }
    assert!(wrong > 1000, "{wrong}");
}
