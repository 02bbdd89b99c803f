//! The filter: what is found, and what becomes of it.

use std::{borrow::Cow, ops::Range};

use rustrict::{Trie, Type};

use super::{
    marks::WordList,
    words::{AllowedWords, UnusableWord, stands_alone, usable},
};

/// What happens to a text with profanity in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is taken with each letter of the profanity replaced by `*`.
    #[default]
    Mask,
    /// It is refused.
    Reject,
    /// It is taken as it is, and marked.
    Flag,
}

/// How bad a word has to be to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Mild words count, too ("damn", "crap").
    Mild,
    /// What most places don't want to read.
    #[default]
    Moderate,
    /// Slurs and worse only.
    Severe,
}

impl Severity {
    /// What the crate marks: profane, offensive and sexual words from this severity on. Words that are only mean count
    /// when they are severe.
    fn threshold(self) -> Type {
        let level = match self {
            Self::Mild => Type::MILD_OR_HIGHER,
            Self::Moderate => Type::MODERATE_OR_HIGHER,
            Self::Severe => Type::SEVERE,
        };
        ((Type::PROFANE | Type::OFFENSIVE | Type::SEXUAL) & level) | (Type::MEAN & Type::SEVERE)
    }
}

/// Finds profanity, also in look-alikes ("$h1t", "f u c k", "ＳＨＩＴ"), and leaves words alone that only contain some
/// ("Scunthorpe", "assess").
#[derive(Debug)]
pub struct ProfanityFilter {
    policy: Policy,
    built_in: WordList,
    extra: Option<WordList>,
    allowed: AllowedWords,
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The text to go on with. Masked, it has as many characters as before, and all but the masked ones are the same
    /// bytes.
    pub content: Cow<'a, str>,
    /// Whether profanity was found, whatever the policy.
    pub filtered: bool,
    /// Whether the text has to be refused: profanity was found and the policy is [`Policy::Reject`].
    pub rejected: bool,
    /// In how many places profanity was found.
    pub places: usize,
}

impl ProfanityFilter {
    /// A filter of the built-in words from [`Severity::Moderate`] on, and `extra` ones, without those that are `allowed`.
    ///
    /// Extra words are found in any case and as look-alikes, but as words of their own only: "cat" isn't found in
    /// "concatenate". An allowed word or phrase passes as it is written, in any case; its look-alikes don't.
    ///
    /// The list of extra words stays in memory for as long as the process runs, since the crate underneath takes no other:
    /// make a filter at start, not for each text.
    ///
    /// # Errors
    ///
    /// A word can't be looked for: it is empty or too long, or there are too many.
    pub fn new(policy: Policy, extra: &[String], allowed: &[String]) -> Result<Self, UnusableWord> {
        let built_in = WordList { trie: None, threshold: Severity::default().threshold() };
        let extra = usable(extra)?;
        let extra = (!extra.is_empty()).then(|| {
            let mut trie = Trie::new();
            for word in &extra {
                trie.set(word, Type::PROFANE & Type::SEVERE);
            }
            WordList { trie: Some(Box::leak(Box::new(trie))), threshold: Type::PROFANE }
        });
        Ok(Self { policy, built_in, extra, allowed: AllowedWords::new(allowed)? })
    }

    /// The same filter with another severity for the built-in words. Extra words count at any.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.built_in.threshold = severity.threshold();
        self
    }

    /// Looks for profanity and does what the policy says, in time linear in the text.
    ///
    /// Masking replaces every character of what was found by `*`, the first one too, but for white space within it. All
    /// other characters stay as they are.
    #[must_use]
    pub fn check<'a>(&self, text: &'a str) -> Checked<'a> {
        let characters: Vec<char> = text.chars().collect();
        let found = self.find(&characters);
        let content = match self.policy {
            Policy::Mask if !found.is_empty() => Cow::Owned(masked(characters, &found)),
            Policy::Mask | Policy::Reject | Policy::Flag => Cow::Borrowed(text),
        };
        Checked {
            content,
            filtered: !found.is_empty(),
            rejected: !found.is_empty() && self.policy == Policy::Reject,
            places: found.len(),
        }
    }

    /// The places of profanity. A place that both lists have is there twice at most.
    fn find(&self, characters: &[char]) -> Vec<Range<usize>> {
        let mut found = self.built_in.find(characters);
        if let Some(extra) = &self.extra {
            let places = extra.find(characters).into_iter().filter(|place| stands_alone(characters, place));
            let new: Vec<Range<usize>> = places.filter(|place| !found.contains(place)).collect();
            found.extend(new);
        }
        found.retain(|place| !self.allowed.hold(characters, place));
        found
    }
}

/// The text with `*` in the places, but for white space.
fn masked(mut characters: Vec<char>, places: &[Range<usize>]) -> String {
    for place in places {
        for character in &mut characters[place.clone()] {
            if !character.is_whitespace() {
                *character = '*';
            }
        }
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(policy: Policy, extra: &[&str], allowed: &[&str]) -> ProfanityFilter {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        ProfanityFilter::new(policy, &words(extra), &words(allowed)).unwrap()
    }

    fn mask(text: &str) -> String {
        filter(Policy::Mask, &[], &[]).check(text).content.into_owned()
    }

    #[test]
    fn profanity_is_masked_to_its_full_length() {
        assert_eq!(mask("what the fuck is this shit?"), "what the **** is this ****?");
    }

    #[test]
    fn look_alikes_are_found() {
        for text in [
            "sh1t",
            "$h!t",
            "fuuuuuck",
            "FUCK",
            "fück",
            "ＦＵＣＫ",
            "ѕhіt",
            "𝖋𝖚𝖈𝖐",
            "f.u.c.k",
            "f/u/c/k",
            "fuckkkkk",
            "5h1t",
        ] {
            assert_eq!(mask(text), "*".repeat(text.chars().count()), "{text}");
        }
        assert_eq!(mask("f u c k"), "* * * *");
        assert_eq!(mask("stop this s h i t"), "stop this * * * *");
        assert_eq!(mask("(see this shit)[x](y)"), "(see this ****)[x](y)");
    }

    #[test]
    fn words_that_only_contain_some_pass() {
        for text in [
            "Scunthorpe",
            "assess the classes",
            "an analysis of the assignment",
            "cocktail",
            "Essex and Sussex",
            "Dickens",
            "455 | 0.88 | 5.80×, 54,949/s (503): it took 300 B",
            "2026-11-21T11:42:33.702884Z",
            "[docs/topology.md](docs/topology.md)",
            "a bass assassin",
            "push it",
            "methodology",
            "kill -9 the worker",
            "dead letters",
            "execute the dump",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn all_other_characters_stay_as_they_were() {
        let text =
            "é e\u{301} \u{202e}x\u{202c}\u{e000}\r\n\t<b>**fuck**</b> 👩‍👩‍👧\u{0} 한\u{1112}\u{1161} `a*b` ñ\n";
        assert_eq!(mask(text), text.replace("fuck", "****"));
        assert_eq!(mask("s\nh\ni\nt"), "*\n*\n*\n*");
    }

    #[test]
    fn accents_within_a_word_are_masked_with_it() {
        assert_eq!(mask("a f\u{301}u\u{301}ck\u{301}!"), "a *******!");
    }

    #[test]
    fn policies_differ_in_what_they_do_and_not_in_what_they_find() {
        let checked = filter(Policy::Reject, &[], &[]);
        let checked = checked.check("shit happens");
        assert_eq!(
            (checked.content.as_ref(), checked.filtered, checked.rejected),
            ("shit happens", true, true)
        );
        let flag = filter(Policy::Flag, &[], &[]);
        let checked = flag.check("shit happens");
        assert_eq!(
            (checked.content.as_ref(), checked.filtered, checked.rejected),
            ("shit happens", true, false)
        );
        let checked = flag.check("it happens");
        assert_eq!((checked.filtered, checked.places), (false, 0));
        assert!(matches!(checked.content, Cow::Borrowed(_)));
    }

    #[test]
    fn extra_words_are_masked_as_words_of_their_own_with_their_look_alikes() {
        let filter = filter(Policy::Mask, &["Zonk", "red herring"], &[]);
        let mask = |text: &str| filter.check(text).content.into_owned();
        assert_eq!(mask("a zonk, ZONK and z0nk!"), "a ****, **** and ****!");
        assert_eq!(mask("zonkers bezonk zonk_1"), "zonkers bezonk ****_1");
        assert_eq!(mask("a Red Herring"), "a *** *******");
        assert_eq!(mask("fuck"), "****");
    }

    #[test]
    fn allowed_words_pass_and_others_beside_them_do_not() {
        let filter = filter(Policy::Mask, &["zonk"], &["Shit", "zonk"]);
        let mask = |text: &str| filter.check(text).content.into_owned();
        assert_eq!(mask("SHIT and zonk and fuck"), "SHIT and zonk and ****");
        assert_eq!(mask("bullshit"), "********");
    }

    #[test]
    fn the_severity_says_how_bad_a_word_has_to_be() {
        let places =
            |severity, text: &str| filter(Policy::Flag, &[], &[]).with_severity(severity).check(text).places;
        assert_eq!([Severity::Mild, Severity::Moderate].map(|severity| places(severity, "damn")), [1, 0]);
        assert_eq!([Severity::Moderate, Severity::Severe].map(|severity| places(severity, "shit")), [1, 0]);
    }

    #[test]
    fn a_word_is_found_wherever_it_stands_in_a_long_text() {
        for before in (1_500..4_200).step_by(45) {
            let text = format!("{}shit {}", "word ".repeat(before / 5), "more ".repeat(700));
            assert_eq!(mask(&text), text.replace("shit", "****"), "{before}");
        }
    }

    #[test]
    fn texts_made_to_be_slow_are_not() {
        let started = std::time::Instant::now();
        let filter = filter(Policy::Mask, &["zonk"], &["zonk"]);
        for unit in ["🖕", "f🖕", "f ", "fu", "a", "s.h.i", "*", "\u{301}", "🖕\u{301} ", "zonk "] {
            let text = unit.repeat(16_000 / unit.len());
            assert_eq!(filter.check(&text).content.chars().count(), text.chars().count());
        }
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }
}
