//! Drops from the built object what no kernel and no loader reads: DWARF, which BTF was made from, and the
//! relocations of BTF, which only a linker needs. What stays is free of build paths and a tenth of the size.

use anyhow::{Context, Result};
use object::{
    build::elf::{Builder, SectionData},
    elf,
};

/// The object without debug sections; BTF (types, function and line information) stays.
pub(crate) fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    let mut object = Builder::read(linked).context("reading the linked object")?;
    for section in &mut object.sections {
        let name = section.name.as_slice();
        section.delete =
            [b".debug_".as_slice(), b".rel.debug_", b".rel.BTF"].iter().any(|p| name.starts_with(p));
    }
    // Symbols of deleted sections, and relocations against such symbols.
    object.delete_orphans();
    // The file symbol says nothing (`linked_module`).
    for symbol in &mut object.symbols {
        symbol.delete |= symbol.st_type() == elf::STT_FILE;
    }
    // LLVM names sections and symbols from one table, the writer wants one for each.
    let names = object.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = elf::SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    object.write(&mut stripped).context("writing the stripped object")?;
    Ok(stripped)
}
