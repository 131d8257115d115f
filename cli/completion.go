package cli

import (
	"flag"
	"io"
	"slices"
	"strings"
)

// The scripts ask the program itself, by its command __complete: what has been typed, the last word as far as it is there.
var completions = map[string]string{
	"bash": `# weir completion bash: put this into ~/.bashrc: source <(weir completion bash)
_weir() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _weir weir
`,
	"zsh": `#compdef weir
# weir completion zsh: put this into ~/.zshrc, after compinit: source <(weir completion zsh)
_weir() {
    local -a found
    local line
    while IFS=$'\t' read -r word about; do
        found+=("${word//:/\\:}:$about")
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then _describe weir found; else _files; fi
}
compdef _weir weir
`,
	"fish": `# weir completion fish: put this into ~/.config/fish/completions/weir.fish
function __weir_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..] 2>/dev/null
end
complete -c weir -a '(__weir_complete)'
`,
}

func completionHelp(out io.Writer) error {
	sayf(out, `weir completion: print what makes a shell complete commands, flags and some of their values.

  bash: source <(weir completion bash)                                   in ~/.bashrc
  zsh:  source <(weir completion zsh)                                    in ~/.zshrc, after compinit
  fish: weir completion fish > ~/.config/fish/completions/weir.fish      once`)
	return nil
}

// Completion is the command `weir completion`. Errors: Usage.
func Completion(args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && isHelp(args[0]):
		return completionHelp(out)
	case len(args) != 1 || completions[args[0]] == "":
		return Usage("completion: name a shell: bash, zsh or fish: see `weir help completion`")
	}
	_, _ = io.WriteString(out, completions[args[0]])
	return nil
}

// Complete prints what the last word may become, a line each, with a tab and what it means.
func Complete(words []string, out io.Writer) {
	if len(words) == 0 {
		words = []string{""}
	}
	before, word := words[:len(words)-1], words[len(words)-1]
	seen := map[string]bool{}
	offer := func(text, about string) {
		if strings.HasPrefix(text, word) && !seen[text] {
			seen[text] = true
			sayf(out, "%s\t%s", text, about)
		}
	}
	if len(before) > 0 && before[0] == "help" {
		before = before[1:]
	}
	flags := flagsOf(before)
	if len(before) > 0 && flags != nil {
		for _, v := range valuesOf(flags, before[len(before)-1]) {
			offer(v, "")
		}
		if takesValue(flags, before[len(before)-1]) {
			return
		}
	}
	if strings.HasPrefix(word, "-") {
		if flags != nil {
			flags.VisitAll(func(f *flag.Flag) { offer("--"+f.Name, f.Usage) })
		}
		return
	}
	typed := strings.Join(before, " ")
	for _, c := range commands() {
		rest, ok := strings.CutPrefix(c.name, typed)
		if typed != "" {
			rest, ok = strings.CutPrefix(c.name, typed+" ")
		}
		if !ok {
			continue
		}
		if next, more, _ := strings.Cut(rest, " "); more != "" {
			offer(next, "commands on "+next)
		} else {
			offer(next, c.about)
		}
	}
	switch typed {
	case "":
		for _, p := range locals() {
			offer(p.name, p.about)
		}
	case "completion":
		for _, shell := range []string{"bash", "zsh", "fish"} {
			offer(shell, "")
		}
	case "batch start", "batch preview":
		for _, k := range batchKinds {
			offer(strings.ToLower(k), "")
		}
	}
}

// flagsOf returns the flags of the command that is being typed, nil if there is none yet.
func flagsOf(words []string) *flag.FlagSet {
	if len(words) == 0 {
		return nil
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	for _, p := range locals() {
		if p.name == words[0] && p.flags != nil {
			p.flags(flags)
			return flags
		}
	}
	cmd, _, err := find(words)
	if err != nil {
		return nil
	}
	new(common).declare(flags)
	cmd.bind(flags)
	return flags
}

// lookUp finds the flag that a word is; nil if it is none, or brings its value along.
func lookUp(flags *flag.FlagSet, word string) *flag.Flag {
	name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
	if name == word || strings.Contains(name, "=") {
		return nil
	}
	return flags.Lookup(name)
}

// takesValue tells whether a word is a flag whose value comes next.
func takesValue(flags *flag.FlagSet, word string) bool {
	f := lookUp(flags, word)
	if f == nil {
		return false
	}
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// valuesOf are the values that a flag may have, if they are few.
func valuesOf(flags *flag.FlagSet, word string) []string {
	f := lookUp(flags, word)
	if f == nil {
		return nil
	}
	var allowed []string
	switch v := f.Value.(type) {
	case *enum:
		allowed = v.allowed
	case *enums:
		allowed = v.allowed
	default:
		if f.Name == "output" {
			return []string{"table", "json"}
		}
	}
	out := slices.Clone(allowed)
	for i := range out {
		out[i] = strings.ToLower(strings.ReplaceAll(out[i], "_", "-"))
	}
	return out
}
