//! stub
#![allow(missing_docs)]
#[derive(Debug, clap::Args)]
pub struct InitArgs {}
pub fn run(
    _a: &InitArgs,
    _e: &crate::env::Env,
    _o: &mut dyn std::io::Write,
    _x: &mut dyn std::io::Write,
) -> anyhow::Result<u8> {
    Ok(0)
}
