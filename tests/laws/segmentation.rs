//! Law 2: for the same bytes at the same instants, the verdict, the mux's words and what the backend receives do not depend on
//! how they are cut. And all of it is what the model says, which knows no cuts.

use proptest::prelude::*;

use crate::support::drive::play;
use crate::support::model::expect;
use crate::support::strategies::{cuts, scene};

proptest! {
    #[test]
    fn any_cuts_give_what_the_model_says(scene in scene(), cuts in cuts()) {
        prop_assert_eq!(play(&scene, &cuts).0, expect(&scene));
    }
}
