#include "text/vocab.h"

#include <strings.h>
#include <wisp/wisp.h>

/* In the order of the language tokens (openai-whisper tokenizer.py LANGUAGES). */
static const struct {
    const char *code, *name;
} languages[] = {
    {"en", "english"},        {"zh", "chinese"},     {"de", "german"},        {"es", "spanish"},
    {"ru", "russian"},        {"ko", "korean"},      {"fr", "french"},        {"ja", "japanese"},
    {"pt", "portuguese"},     {"tr", "turkish"},     {"pl", "polish"},        {"ca", "catalan"},
    {"nl", "dutch"},          {"ar", "arabic"},      {"sv", "swedish"},       {"it", "italian"},
    {"id", "indonesian"},     {"hi", "hindi"},       {"fi", "finnish"},       {"vi", "vietnamese"},
    {"he", "hebrew"},         {"uk", "ukrainian"},   {"el", "greek"},         {"ms", "malay"},
    {"cs", "czech"},          {"ro", "romanian"},    {"da", "danish"},        {"hu", "hungarian"},
    {"ta", "tamil"},          {"no", "norwegian"},   {"th", "thai"},          {"ur", "urdu"},
    {"hr", "croatian"},       {"bg", "bulgarian"},   {"lt", "lithuanian"},    {"la", "latin"},
    {"mi", "maori"},          {"ml", "malayalam"},   {"cy", "welsh"},         {"sk", "slovak"},
    {"te", "telugu"},         {"fa", "persian"},     {"lv", "latvian"},       {"bn", "bengali"},
    {"sr", "serbian"},        {"az", "azerbaijani"}, {"sl", "slovenian"},     {"kn", "kannada"},
    {"et", "estonian"},       {"mk", "macedonian"},  {"br", "breton"},        {"eu", "basque"},
    {"is", "icelandic"},      {"hy", "armenian"},    {"ne", "nepali"},        {"mn", "mongolian"},
    {"bs", "bosnian"},        {"kk", "kazakh"},      {"sq", "albanian"},      {"sw", "swahili"},
    {"gl", "galician"},       {"mr", "marathi"},     {"pa", "punjabi"},       {"si", "sinhala"},
    {"km", "khmer"},          {"sn", "shona"},       {"yo", "yoruba"},        {"so", "somali"},
    {"af", "afrikaans"},      {"oc", "occitan"},     {"ka", "georgian"},      {"be", "belarusian"},
    {"tg", "tajik"},          {"sd", "sindhi"},      {"gu", "gujarati"},      {"am", "amharic"},
    {"yi", "yiddish"},        {"lo", "lao"},         {"uz", "uzbek"},         {"fo", "faroese"},
    {"ht", "haitian creole"}, {"ps", "pashto"},      {"tk", "turkmen"},       {"nn", "nynorsk"},
    {"mt", "maltese"},        {"sa", "sanskrit"},    {"lb", "luxembourgish"}, {"my", "myanmar"},
    {"bo", "tibetan"},        {"tl", "tagalog"},     {"mg", "malagasy"},      {"as", "assamese"},
    {"tt", "tatar"},          {"haw", "hawaiian"},   {"ln", "lingala"},       {"ha", "hausa"},
    {"ba", "bashkir"},        {"jw", "javanese"},    {"su", "sundanese"},     {"yue", "cantonese"},
};
enum { N_LANGUAGES = sizeof languages / sizeof languages[0] };

/* Other names that the reference accepts (TO_LANGUAGE_CODE). */
static const struct {
    const char *name, *code;
} aliases[] = {
    {"burmese", "my"},       {"valencian", "ca"}, {"flemish", "nl"},   {"haitian", "ht"},
    {"letzeburgesch", "lb"}, {"pushto", "ps"},    {"panjabi", "pa"},   {"moldavian", "ro"},
    {"moldovan", "ro"},      {"sinhalese", "si"}, {"castilian", "es"}, {"mandarin", "zh"},
};

static int find_code(const char *code) {
    for (int i = 0; i < N_LANGUAGES; i++)
        if (strcasecmp(languages[i].code, code) == 0)
            return i;
    return -1;
}

int wi_lang_find(const char *code_or_name) {
    int i = find_code(code_or_name);
    if (i >= 0)
        return i;
    for (i = 0; i < N_LANGUAGES; i++)
        if (strcasecmp(languages[i].name, code_or_name) == 0)
            return i;
    for (size_t a = 0; a < sizeof aliases / sizeof aliases[0]; a++)
        if (strcasecmp(aliases[a].name, code_or_name) == 0)
            return find_code(aliases[a].code);
    return -1;
}

const char *wi_lang_code(int index) {
    return index >= 0 && index < N_LANGUAGES ? languages[index].code : NULL;
}

const char *wi_lang_name(int index) {
    return index >= 0 && index < N_LANGUAGES ? languages[index].name : NULL;
}

bool wisp_language_get(size_t i, const char **code, const char **name) {
    if (i >= N_LANGUAGES)
        return false;
    *code = languages[i].code;
    *name = languages[i].name;
    return true;
}

const char *wisp_language_find(const char *code_or_name) {
    return wi_lang_code(wi_lang_find(code_or_name));
}
