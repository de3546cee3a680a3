//! The names of fields, and the keys that Go assigns to them: [`fields`].

/// Defines an enum of the names of fields, and functions that return the field to which
/// Go assigns a key.
///
/// Go prefers the field of exactly that name. No two fields of a descriptor or a manifest
/// differ in case alone, so the first that matches is that field.
macro_rules! fields {
    ($of:ident: $($variant:ident = $name:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $of {
            $($variant,)*
            /// A key that is assigned to none of them.
            Unknown,
        }

        impl $of {
            /// Reads the key of the next member of an object, whose value follows. `None`
            /// if there are no more members. `first` must be `true` initially.
            #[inline(always)]
            fn read(
                json: &mut $crate::event::go_json::Scanner<'_>,
                first: &mut bool,
            ) -> Result<Option<Self>, $crate::event::go_json::Fault> {
                if !json.member(first)? {
                    return Ok(None);
                }
                // The usual spelling. It is compared without looking for its end.
                $(if json.take(concat!("\"", $name, "\":").as_bytes()) {
                    return Ok(Some(Self::$variant));
                })*
                json.name().map(|key| Some(Self::of(key)))
            }

            #[cold]
            fn of(key: $crate::event::go_json::Key<'_>) -> Self {
                let key = key.decode();
                let fields = [$(($name, Self::$variant)),*];
                let is_same = |(name, _): &(&str, Self)| *name == key;
                let is_folded = |(name, _): &(&str, Self)| {
                    $crate::event::go_json::is_folded(&key, name)
                };
                let found = fields.iter().find(|it| is_same(it));
                let found = found.or_else(|| fields.iter().find(|it| is_folded(it)));
                found.map_or(Self::Unknown, |(_, field)| *field)
            }
        }
    };
}
pub(in crate::event) use fields;

#[cfg(test)]
mod tests {
    use super::super::{Key, Scanner};

    fields! { Name:
        Layers = "layers"
        Skip = "skip"
        Upper = "SKIP"
    }

    #[test]
    fn names_match_in_any_case() {
        for (key, name) in [
            ("layers", Name::Layers),
            ("LAYERS", Name::Layers),
            ("layer\u{17f}", Name::Layers),
            ("s\u{212a}ip", Name::Skip),
            ("SKIP", Name::Upper),
            ("Skip", Name::Skip),
            ("", Name::Unknown),
            ("layer", Name::Unknown),
            ("layerss", Name::Unknown),
            ("layer\u{df}", Name::Unknown),
            ("\u{131}", Name::Unknown),
            (r"\u006cayers", Name::Layers),
            (r"\u017fkip", Name::Skip),
        ] {
            assert_eq!(Name::of(Key(key.as_bytes())), name, "{key}");
            for space in ["", " ", "\n  "] {
                let content = format!("{{{space}\"{key}\"{space}:{space}1{space}}}");
                let mut json = Scanner::new(content.as_bytes());
                json.open(b'{').unwrap();
                let mut first = true;
                assert_eq!(Name::read(&mut json, &mut first), Ok(Some(name)), "{key}");
                assert_eq!(json.integer(), Ok(1));
                assert_eq!(Name::read(&mut json, &mut first), Ok(None));
                json.end().unwrap();
            }
        }
    }
}
