//! What a page is made of, read by an independent parser.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Panics when the text is no well-formed XML, or names an attribute or an id twice.
pub(crate) fn well_formed(text: &str) {
    events(text, |_| ());
}

/// A line for each heading, figure, image, table header and section.
pub(super) fn outline(page: &str) -> String {
    let mut lines = String::new();
    let mut taking: Option<String> = None;
    events(page, |event| match event {
        Event::Start(tag) => {
            let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
            let id = attribute(tag, "id").unwrap_or_default();
            match name.as_str() {
                "section" | "figure" => lines.push_str(&format!("<{name} {id}>\n")),
                "h1" | "h2" | "h3" | "h4" | "th" | "summary" => taking = Some(format!("{name}:")),
                _ => {}
            }
        }
        Event::Empty(tag) if tag.name().as_ref() == b"img" => lines.push_str("<img>\n"),
        Event::Text(text) => {
            if let Some(line) = &mut taking {
                line.push(' ');
                line.push_str(text.decode().unwrap().trim());
            }
        }
        Event::GeneralRef(entity) => {
            if let Some(line) = &mut taking {
                line.push_str(&format!(" &{};", entity.decode().unwrap()));
            }
        }
        Event::End(_) => {
            if let Some(line) = taking.take() {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        _ => {}
    });
    lines
}

fn events(text: &str, mut each: impl FnMut(&Event<'_>)) {
    let mut reader = Reader::from_str(text);
    let mut ids = Vec::new();
    let mut depth = 0;
    loop {
        let event = reader.read_event().unwrap_or_else(|error| {
            let at = reader.buffer_position() as usize;
            let near: String = text.chars().skip(at.saturating_sub(80)).take(160).collect();
            panic!("{error} near {near}")
        });
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                tag.attributes().for_each(|a| drop(a.unwrap()));
                ids.extend(attribute(tag, "id"));
                depth += usize::from(matches!(event, Event::Start(_)));
            }
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
        each(&event);
    }
    assert_eq!(depth, 0, "elements that are not closed");
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id stands twice");
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).unwrap()?;
    Some(String::from_utf8_lossy(&attribute.value).into_owned())
}
