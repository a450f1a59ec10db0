//! What comes with a plan, as it is written in the setting: rules in the form of the API, and questions to save.
//!
//! Read when a program starts. Fails as [`InvalidPlans`] with the member that is wrong. Deliberately absent: whether the page that
//! answers a question takes its query, which the page says when the question is opened.

use common::filter::{CompiledPredicate, Invalid, MAX_RULES_PER_CONNECTION, RuleDraft};
use common::saved_question::{Draft, MAX_NAME_CHARS, MAX_QUERY_CHARS, MAX_SHARED, QuestionPage};
use serde::Deserialize;
use serde_json::Value;

use super::{InvalidPlans, Seed, wrong};

/// What is written of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSeed {
    rules: Vec<Value>,
    questions: Vec<Value>,
}

/// Reads what comes with a plan.
pub(super) fn read(plan: &str, written: &WrittenSeed) -> Result<Seed, InvalidPlans> {
    let at = |pointer: &str, detail: &str| {
        wrong(format!("`seed/{pointer}` of the plan `{plan}`: {detail}"))
    };
    let WrittenSeed { rules, questions } = written;
    if rules.len() > MAX_RULES_PER_CONNECTION {
        let detail = format!("a connection has at most {MAX_RULES_PER_CONNECTION} rules");
        return Err(at("rules", &detail));
    }
    if questions.len() as i64 > MAX_SHARED {
        let detail = format!("an organization has at most {MAX_SHARED} questions");
        return Err(at("questions", &detail));
    }
    let rules = rules.iter().enumerate().map(|(index, rule)| {
        read_rule(rule).map_err(|problem| {
            at(
                &format!("rules/{index}{}", problem.pointer),
                &problem.detail,
            )
        })
    });
    let questions = questions.iter().enumerate().map(|(index, question)| {
        read_question(question)
            .map_err(|(member, detail)| at(&format!("questions/{index}{member}"), &detail))
    });
    Ok(Seed {
        rules: rules.collect::<Result<_, _>>()?,
        questions: questions.collect::<Result<_, _>>()?,
    })
}

/// The first thing that is wrong with a rule, or the rule.
fn read_rule(rule: &Value) -> Result<RuleDraft, Invalid> {
    let read = RuleDraft::parse(rule).and_then(|draft| {
        CompiledPredicate::new(&draft.predicate)?;
        Ok(draft)
    });
    read.map_err(|problems| {
        let mut problems = problems.into_iter();
        // A refusal names at least one problem.
        problems.next().unwrap_or(Invalid {
            pointer: String::new(),
            code: common::filter::INVALID_REQUEST,
            detail: "it cannot be used".to_owned(),
        })
    })
}

/// Reads a question, or says which member is wrong and how.
fn read_question(question: &Value) -> Result<Draft, (String, String)> {
    let wrong = |member: &str, detail: String| (format!("/{member}"), detail);
    let Some(members) = question.as_object() else {
        return Err((String::new(), "it must be an object".to_owned()));
    };
    let known = ["name", "page", "query"];
    if let Some(member) = members.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(wrong(member, "there is no such member".to_owned()));
    }
    let text = |member: &'static str| match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text.clone())),
        Some(_) => Err(wrong(member, "it must be text".to_owned())),
    };
    let name = text("name")?.unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        let detail = format!("it must be a text of 1 to {MAX_NAME_CHARS} characters");
        return Err(wrong("name", detail));
    }
    let page = text("page")?;
    let mut pages = QuestionPage::ALL.into_iter();
    let page = match page.as_deref() {
        None => Some(QuestionPage::Explore),
        Some(page) => pages.find(|known| known.as_str() == page),
    };
    let Some(page) = page else {
        return Err(wrong(
            "page",
            "it must be `overview` or `explore`".to_owned(),
        ));
    };
    let query = text("query")?.unwrap_or_default();
    if query.starts_with('?') || query.chars().count() > MAX_QUERY_CHARS {
        let detail = format!(
            "it must have at most {MAX_QUERY_CHARS} characters, and no question mark before them"
        );
        return Err(wrong("query", detail));
    }
    Ok(Draft {
        name,
        page,
        query,
        shared: true,
    })
}
