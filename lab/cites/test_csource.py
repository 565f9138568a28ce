"""What csource must find, and must not. Run: python3 -B -m unittest discover -s lab/cites"""

import unittest

from csource import CSource

SOURCE = r'''
/* gate() is described here { with a brace. */
#define LIMIT 1024 /* also 2048 */
#define EACH(x, y) \
	for (x = 0; /* comment
	* over lines */ x < y; x++)

static int gate(int port);
static const char *text = "} not_a_brace gate(";
int scalar = START_VALUE;

struct bucket {
	int fast;
};

static struct table rows[] = {
	{ .name = "row_one", },
};

typedef struct {
	int member;
} alias_t;

int
gate(int port)
{
	/* only_commented */
	if (port < LIMIT) {
		log("}{ in_a_string");
		return EACCES;
	}
#if 0
	never_built();
#endif
	return outer_gate(port,
	    wide   name);
}

static bool annotated(struct s *a, int (*f)(int))
	__releases(&((a)->lock.slock)) MUST_CHECK
{
	EACH(i, 3) {
		inner(i);
	}
	return true;
}

#ifdef A
int twice(void) {
	if (a_only) {
#else
int twice(int x) {
	if (b_only) {
#endif
		shared();
	}
	return 0;
}

int
old_style(a, notify)
	int a;
	void (*notify)(int);
{
	return historic;
}

SYSCALL_DEFINE3(bind, int, fd, int, len)
{
	return do_bind(fd);
}

#if 0
int gone(void) { return relic; }
#else
int kept(void) { return live; }
#endif

int last(void) { return end; }
'''


class Find(unittest.TestCase):
    """Each is a way in which a citation may be right or wrong."""

    def setUp(self):
        self.file = CSource(SOURCE)

    def found(self, function, needle):
        """The line, or None."""
        return self.file.find(needle, function)[0]

    def test_found(self):
        for function, needle in [
                ("gate", "EACCES"), ("gate", "LIMIT"), ("gate", "wide name"), ("gate", '"}{ in_a_string"'),
                ("annotated", "inner"), ("twice", "a_only"), ("twice", "b_only"), ("twice", "shared"),
                ("old_style", "historic"), ("bind", "do_bind"), ("LIMIT", "1024"), ("EACH", "x < y"),
                ("bucket", "fast"), ("rows", "row_one"), ("alias_t", "member"), ("scalar", "START_VALUE"),
                ("kept", "live"), ("last", "end"), (None, "#define LIMIT"), (None, "outer_gate")]:
            with self.subTest(function=function, needle=needle):
                self.assertIsNotNone(self.found(function, needle), self.file.find(needle, function)[1])

    def test_not_found(self):
        for function, needle in [
                ("gate", "only_commented"), ("gate", "never_built"), ("gate", "inner"), ("gate", "EACC"),
                ("gate", "name outer"), ("LIMIT", "2048"), ("gone", "relic"), ("log", "return"),
                ("inner", "return"), ("annotated", "shared"), ("last", "live"), ("text", "EACCES"),
                ("outer_gate", "wide"), ("absent", "EACCES"), (None, "only_commented"), (None, "relic")]:
            with self.subTest(function=function, needle=needle):
                self.assertIsNone(self.found(function, needle))

    def test_line_and_reason(self):
        lines = SOURCE.splitlines()
        self.assertIn("EACCES", lines[self.found("gate", "EACCES") - 1])
        self.assertIn("only_commented", lines[int(self.file.find("only_commented", "gate")[1].split()[-1]) - 1])
        self.assertIn("but at line", self.file.find("inner", "gate")[1])
        self.assertIn("only mentioned", self.file.find("x", "outer_gate")[1])
        self.assertEqual("absent does not occur", self.file.find("x", "absent")[1])

    def test_unbalanced_braces_still_end_in_the_first_column(self):
        file = CSource("int a(void)\n{\n\tif (x) {\n\tMACRO_CLOSES\n\treturn in_a;\n}\nint b(void)\n{\n\treturn in_b;\n}\n")
        self.assertIsNotNone(file.find("in_a", "a")[0])
        self.assertIsNone(file.find("in_b", "a")[0])
        self.assertIsNotNone(file.find("in_b", "b")[0])


if __name__ == "__main__":
    unittest.main()
