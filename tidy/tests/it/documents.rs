//! What documents show of files stands in these files.

use telemetry_tidy::{File, tracked};

/// A block of a document, and the file that the line above it names: `` `path`: ``.
struct Block<'a> {
    document: &'a str,
    path: &'a str,
    text: String,
}

fn blocks(document: &File) -> Vec<Block<'_>> {
    let lines: Vec<&str> = document.text.lines().collect();
    let named = lines.windows(3).enumerate().filter_map(|(at, window)| {
        let path = window[0].strip_prefix('`')?.strip_suffix("`:")?;
        let is_block = path.contains('/') && window[1].is_empty() && window[2].starts_with("```");
        is_block.then(|| (at + 3, path))
    });
    named
        .map(|(begin, path)| {
            let text = lines[begin..].iter().take_while(|line| !line.starts_with("```"));
            let text: String = text.flat_map(|line| [line, "\n"]).collect();
            Block { document: &document.path, path, text }
        })
        .collect()
}

#[test]
fn blocks_that_name_a_file_are_a_part_of_it() {
    let files = tracked();
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let blocks: Vec<_> = documents.flat_map(blocks).collect();
    assert!(blocks.len() >= 4, "only {} were found", blocks.len());
    let is_part = |block: &&Block<'_>| {
        let file = files.iter().find(|file| file.path == block.path);
        // A program is shown as a whole, of a manifest only what matters.
        file.is_none_or(|file| match block.path.ends_with(".rs") {
            true => file.text != block.text,
            false => !file.text.contains(&block.text),
        })
    };
    let wrong: Vec<_> = blocks.iter().filter(is_part).collect();
    let wrong: Vec<_> = wrong.iter().map(|b| format!("{}: {}", b.document, b.path)).collect();
    assert!(wrong.is_empty(), "not what stands in the file: {wrong:#?}");
}
