//! Enumerations whose numbers travel: written by one program, read by another,
//! so each item has its number in the source and reading one is total.

macro_rules! numbered {
    ($(#[$outer:meta])* $name:ident: $repr:ty { $($(#[$doc:meta])* $item:ident = $number:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr($repr)]
        pub enum $name { $($(#[$doc])* $item = $number,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$item,)*];

            /// The item with this number.
            #[must_use]
            pub const fn from_number(number: $repr) -> Option<$name> {
                match number {
                    $($number => Some($name::$item),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use numbered;
