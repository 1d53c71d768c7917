//! One file per law.

mod segmentation;
