//! The dashboard: views in, HTML out. Nothing here reads a store or a clock; whoever serves a page fills its view.
//!
//! A page is a struct of plain data and a `render`: [`overview::Overview`], [`explore::Explore`],
//! [`interaction::InteractionPage`], [`review::ReviewPage`], [`spend::SpendPage`], [`login::Login`] and [`problem::Problem`]. They work without JavaScript; [`assets`] holds
//! the style sheet and the small script that keeps `[data-live]` fragments fresh. Text that was judged is hostile: it is escaped
//! by maud and made readable by [`visible`].

pub mod assets;
pub mod chart;
pub mod explore;
pub mod format;
pub mod interaction;
pub mod layout;
pub mod link;
pub mod login;
pub mod outcome;
pub mod overview;
pub mod problem;
pub mod review;
pub mod spend;
pub mod visible;

#[cfg(test)]
mod tests;
