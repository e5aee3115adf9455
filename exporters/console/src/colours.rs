//! Whether there are colours, and which.

use std::ffi::OsString;
use telemetry_core::Level;

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colours {
    /// On a terminal, as the environment wants it: never if `NO_COLOR` is set and not empty
    /// (<https://no-color.org>), always if `CLICOLOR_FORCE` is set and not `0`, never if
    /// `CLICOLOR` is `0` or `TERM` is `dumb`; the first of these that applies decides.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colours {
    /// The palette for a destination.
    pub(crate) fn palette(
        self,
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Palette {
        let coloured = match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => wanted(is_terminal, variable),
        };
        if coloured { Palette::Coloured } else { Palette::Plain }
    }
}

fn wanted(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal
        && set("CLICOLOR").is_none_or(|value| value != "0")
        && set("TERM").is_none_or(|value| value != "dumb")
}

/// Writes select-graphic-rendition sequences, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    Plain,
    Coloured,
}

/// What a piece of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Time, target: less than the rest.
    Quiet,
    /// A span's name, a message.
    Strong,
    /// A field's name.
    Key,
    /// A level.
    Level(Level),
}

impl Palette {
    /// Begins a piece. No sequence is longer than [`SEQUENCE_BYTES_MAX`].
    pub(crate) fn begin(self, out: &mut Vec<u8>, role: Role) {
        if self == Self::Plain {
            return;
        }
        let code: &[u8] = match role {
            Role::Quiet => b"\x1b[2m",
            Role::Strong => b"\x1b[1m",
            Role::Key => b"\x1b[3m",
            Role::Level(Level::Error) => b"\x1b[31m",
            Role::Level(Level::Warn) => b"\x1b[33m",
            Role::Level(Level::Info) => b"\x1b[32m",
            Role::Level(Level::Debug) => b"\x1b[34m",
            Role::Level(Level::Trace) => b"\x1b[35m",
        };
        out.extend_from_slice(code);
    }

    /// Ends the piece.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        if self == Self::Coloured {
            out.extend_from_slice(b"\x1b[0m");
        }
    }
}

/// The longest sequence that a palette writes.
pub(crate) const SEQUENCE_BYTES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured(colours: Colours, is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        colours.palette(is_terminal, variable) == Palette::Coloured
    }

    #[test]
    fn terminal_has_colours_and_a_pipe_has_none() {
        assert!(coloured(Colours::Auto, true, &[]));
        assert!(!coloured(Colours::Auto, false, &[]));
        assert!(coloured(Colours::Always, false, &[("NO_COLOR", "1")]));
        assert!(!coloured(Colours::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn environment_decides_in_its_order() {
        assert!(!coloured(Colours::Auto, true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(coloured(Colours::Auto, true, &[("NO_COLOR", "")]));
        assert!(coloured(Colours::Auto, false, &[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")]));
        assert!(!coloured(Colours::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!coloured(Colours::Auto, true, &[("CLICOLOR", "0")]));
        assert!(!coloured(Colours::Auto, true, &[("TERM", "dumb")]));
    }
}
