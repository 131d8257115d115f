package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// table is text in columns. The last column takes what is left of the terminal's width; what does not fit is cut, or, in
// notes under a row, goes on in the next line.
type table struct {
	head []string
	rows [][]string
	// notes are lines under a row, by the row's number.
	notes map[int][]string
	// width is the terminal's; 0 = ask it.
	width int
}

func (t *table) add(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	t.rows = append(t.rows, cells)
}

// under adds a note to the last row.
func (t *table) under(note string) {
	if t.notes == nil {
		t.notes = map[int][]string{}
	}
	n := len(t.rows) - 1
	t.notes[n] = append(t.notes[n], printable(note))
}

// printable takes out what would move a terminal's cursor or colour its text: cells hold what others have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

const minColumn = 8

func (t *table) print(out io.Writer) {
	width := t.width
	if width == 0 {
		width = terminalWidth(out)
	}
	wide := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, c := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	fit(wide, width)
	indent := 0
	for _, w := range wide[:len(wide)-1] {
		indent += w + 2
	}
	line := func(row []string) {
		var b strings.Builder
		for i, c := range row {
			if i == len(row)-1 {
				b.WriteString(c)
				break
			}
			b.WriteString(c)
			b.WriteString(strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c)+2))
		}
		_, _ = fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
	line(t.head)
	for n, row := range t.rows {
		cells := make([]string, len(row))
		last := len(row) - 1
		for i, c := range row {
			cells[i] = c
			if i < last || t.notes == nil {
				cells[i] = cut(c, wide[i])
			}
		}
		lines := wrap(cells[last], width-indent)
		cells[last] = lines[0]
		line(cells)
		for _, l := range lines[1:] {
			_, _ = fmt.Fprintln(out, strings.Repeat(" ", indent)+l)
		}
		for _, note := range t.notes[n] {
			for _, l := range wrap(note, width-indent) {
				_, _ = fmt.Fprintln(out, strings.Repeat(" ", indent)+l)
			}
		}
	}
}

// fit narrows the widest columns until the table has the width; 0 is any.
func fit(wide []int, width int) {
	if width <= 0 {
		return
	}
	for {
		sum, widest := 2*(len(wide)-1), 0
		for i, w := range wide {
			sum += w
			if w > wide[widest] {
				widest = i
			}
		}
		if sum <= width || wide[widest] <= minColumn {
			return
		}
		wide[widest] = max(minColumn, wide[widest]-(sum-width))
	}
}

// cut shortens a text to so many characters, the last of which says that it was cut.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:width-1]) + "…"
}

// wrap breaks a text at blanks into lines of so many characters; 0 or less is any.
func wrap(s string, width int) []string {
	if width < 2*minColumn {
		return []string{s}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// terminalWidth is that of out if it is a terminal, or what COLUMNS says; else 0, so that what goes to a file or another
// program is whole.
func terminalWidth(out io.Writer) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
