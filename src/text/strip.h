/* White space around text, as Python's str.strip() sees it.  Works in place, owns nothing, pure
 * functions. */
#ifndef WISP_SRC_TEXT_STRIP_H
#define WISP_SRC_TEXT_STRIP_H

/* Remove Unicode white space from both ends of valid UTF-8. */
void wi_text_strip(char *text);

#endif
