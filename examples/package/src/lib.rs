//! Empty: the examples are all that this package has.
