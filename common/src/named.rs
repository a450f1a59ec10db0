//! Enums that are stored and shown by name: the names, the list of all values and reading a stored name, from one list.
//!
//! Reading fails for a name that is not in the list. Deliberately absent: other spellings of a name.

/// A stored text that is not one of the known ones.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not known")]
pub struct UnknownValue(pub String);

/// An enum whose variants are stored and shown by name.
// The name is a token, since utoipa does not see a literal that a macro has matched.
#[macro_export]
macro_rules! named {
    ($(#[$attribute:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:tt),+ $(,)? }) => {
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            utoipa::ToSchema,
        )]
        $(#[$attribute])*
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Each of them, in the order in which they are declared.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The name as stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::named::UnknownValue;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok(Self::$variant),)+ other => Err($crate::named::UnknownValue(other.to_owned())) }
            }
        }
    };
}
