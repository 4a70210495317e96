//! What may stand where in a file: one table, from the root down.
//!
//! The structure of every file is checked against this table (in `structure.rs`), and a test
//! holds the README to naming everything in it. No rule contains itself, so walking a file along
//! the table goes no deeper than the table does.

/// An element.
pub struct ElementRule {
    /// The name between the angle brackets.
    pub name: &'static str,
    /// Its attributes.
    pub attributes: &'static [AttributeRule],
    /// What stands between its tags.
    pub content: Content,
}

/// An attribute.
pub struct AttributeRule {
    /// Its name after an `@`, as in `XPath`.
    pub name: &'static str,
    /// Whether the element must have it.
    pub required: bool,
}

impl AttributeRule {
    /// Its name as the file has it.
    #[must_use]
    pub fn name_in_file(&self) -> &'static str {
        self.name.strip_prefix('@').unwrap_or(self.name)
    }
}

/// What stands between the tags of an element.
pub enum Content {
    /// Text that is not empty.
    Text,
    /// Text that may be empty.
    AnyText,
    /// Elements, in any order.
    Elements(&'static [ChildRule]),
}

/// An element inside another.
pub struct ChildRule {
    /// The element.
    pub element: &'static ElementRule,
    /// How often it may be there.
    pub occurs: Occurs,
}

/// How often an element may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// Exactly once.
    Once,
    /// Once or not at all.
    Optional,
    /// Any number of times.
    Many,
}

use Content::{AnyText, Elements, Text};

const fn text(name: &'static str) -> ElementRule {
    ElementRule {
        name,
        attributes: &[],
        content: Text,
    }
}

const fn once(element: &'static ElementRule) -> ChildRule {
    ChildRule {
        element,
        occurs: Occurs::Once,
    }
}

const fn optional(element: &'static ElementRule) -> ChildRule {
    ChildRule {
        element,
        occurs: Occurs::Optional,
    }
}

const fn many(element: &'static ElementRule) -> ChildRule {
    ChildRule {
        element,
        occurs: Occurs::Many,
    }
}

const NAME: &[AttributeRule] = &[AttributeRule {
    name: "@name",
    required: true,
}];
const TAGGED: &[AttributeRule] = &[AttributeRule {
    name: "@tag",
    required: true,
}];

static CORE: ElementRule = text("core");
static ALGORITHM: ElementRule = text("algorithm");
static METRIC: ElementRule = text("metric");
static SHARE: ElementRule = text("share");
static PRIORITY: ElementRule = text("priority");
static DEADLINE: ElementRule = text("deadline");
static BUDGET: ElementRule = text("budget");
static PERIOD: ElementRule = text("period");
static ACTIVITY_NAME: ElementRule = text("activity");
static TAG: ElementRule = text("tag");

static ACTIVITY: ElementRule = ElementRule {
    name: "activity",
    attributes: NAME,
    content: Elements(&[
        optional(&text("weight")),
        optional(&text("memory")),
        optional(&CPU),
    ]),
};

static CPU: ElementRule = ElementRule {
    name: "cpu",
    attributes: &[],
    content: Elements(&[once(&BUDGET), optional(&PERIOD)]),
};

static MULTIPLEXOR: ElementRule = ElementRule {
    name: "cpumultiplexor",
    attributes: TAGGED,
    content: Elements(&[once(&CORE), once(&ALGORITHM), optional(&text("burst"))]),
};

const ASKED: Content = Elements(&[
    once(&TAG),
    optional(&SHARE),
    optional(&PRIORITY),
    optional(&DEADLINE),
    optional(&BUDGET),
    optional(&PERIOD),
]);

static ASKED_MULTIPLEXOR: ElementRule = ElementRule {
    name: "cpumultiplexor",
    attributes: &[],
    content: ASKED,
};

static ASKED_SCHEDULER: ElementRule = ElementRule {
    name: "scheduler",
    attributes: &[],
    content: ASKED,
};

static CLIENT: ElementRule = ElementRule {
    name: "client",
    attributes: &[],
    content: Elements(&[
        once(&ACTIVITY_NAME),
        optional(&SHARE),
        optional(&PRIORITY),
        optional(&DEADLINE),
        optional(&BUDGET),
        optional(&PERIOD),
    ]),
};

static LOAD_SHARING: ElementRule = ElementRule {
    name: "loadsharing",
    attributes: &[],
    content: Elements(&[
        once(&text("policy")),
        optional(&CORE),
        optional(&text("ttl")),
    ]),
};

static BUS: ElementRule = ElementRule {
    name: "scheduler",
    attributes: TAGGED,
    content: Elements(&[
        once(&ALGORITHM),
        optional(&METRIC),
        many(&ASKED_MULTIPLEXOR),
        many(&ASKED_SCHEDULER),
    ]),
};

static RESOURCE_SCHEDULER: ElementRule = ElementRule {
    name: "resourcescheduler",
    attributes: &[AttributeRule {
        name: "@tag",
        required: false,
    }],
    content: Elements(&[
        once(&text("resource")),
        optional(&ACTIVITY_NAME),
        once(&ALGORITHM),
        optional(&METRIC),
        optional(&text("timeslice")),
        optional(&LOAD_SHARING),
        many(&ASKED_MULTIPLEXOR),
        many(&ASKED_SCHEDULER),
        many(&CLIENT),
    ]),
};

static NETWORK: ElementRule = ElementRule {
    name: "network",
    attributes: &[AttributeRule {
        name: "@interface",
        required: true,
    }],
    content: Elements(&[
        optional(&text("address")),
        optional(&text("gateway")),
        optional(&text("rate")),
        optional(&text("congestion")),
    ]),
};

static PROCESS: ElementRule = ElementRule {
    name: "process",
    attributes: NAME,
    content: Elements(&[
        once(&text("path")),
        optional(&ACTIVITY_NAME),
        many(&ElementRule {
            name: "arg",
            attributes: &[],
            content: AnyText,
        }),
        many(&ElementRule {
            name: "env",
            attributes: NAME,
            content: AnyText,
        }),
        optional(&text("stdout")),
        many(&text("right")),
    ]),
};

/// The root of every file.
pub static ROOT: ElementRule = ElementRule {
    name: "schedulerconfig",
    attributes: &[],
    content: Elements(&[
        many(&ACTIVITY),
        many(&MULTIPLEXOR),
        many(&BUS),
        many(&RESOURCE_SCHEDULER),
        many(&NETWORK),
        many(&PROCESS),
    ]),
};
