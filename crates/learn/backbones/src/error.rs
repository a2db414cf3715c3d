//! What may be wrong with the choice of a backbone.

use offramp_graph::GraphError;
use thiserror::Error;

/// A backbone that does not exist or options that it does not have.
#[derive(Debug, Error)]
pub enum BackboneError {
    /// The name is not in the registry.
    #[error(
        "no backbone is called {name:?}{}; `offramp list backbones` shows them all",
        hint(nearest)
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// An option is unknown, of the wrong kind or out of range.
    #[error("backbone {name}: {message}")]
    Option {
        /// The backbone.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A piece that would begin in the middle of a block, or where other scales go on beside the map.
    #[error("{name} cannot be continued from the map of stage {stage} alone")]
    Piece {
        /// The backbone.
        name: String,
        /// Name of the stage before the piece.
        stage: String,
    },
    /// Only a part is asked for, and the backbone is written in burn.
    #[error(
        "backbone {name} is written in burn and not as a graph, so that it can only be built whole: let \
         exits follow its last stage, and take no head that repeats its stages"
    )]
    Whole {
        /// The backbone.
        name: String,
    },
    /// No exit may follow anything.
    #[error("backbone {name} has no stages; its `write` must call `Builder::stage` at least once")]
    NoStages {
        /// The backbone.
        name: String,
    },
    /// The graph that the family writes does not fit together.
    #[error("backbone {name}: {source}")]
    Graph {
        /// The backbone.
        name: String,
        /// What does not fit.
        source: GraphError,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean {name:?}?)"),
        None => String::new(),
    }
}
