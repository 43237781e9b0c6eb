fn main() -> anyhow::Result<()> {
    let mut k = xbeat::datapath::xdp::Kernel::load(|o| {
        o.nodes_len.set(2);
    })?;
    k.start_watch()?;
    println!("{:?}", k.counters()?);
    Ok(())
}
