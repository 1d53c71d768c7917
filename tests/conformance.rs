//! What real clients sent, and the tables of matchers.
