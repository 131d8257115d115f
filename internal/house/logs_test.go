package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// loggers are the methods of a logger, with how many arguments come before the first key.
var loggers = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
	"Log": 3, "LogAttrs": 3, "With": 0,
}

// attrs are the functions of log/slog that make a key and its value.
var attrs = []string{"String", "Int", "Int64", "Uint64", "Float64", "Bool", "Time", "Duration", "Any", "Group"}

// TestLogLinesUseTheKeys: whatever Weir logs has keys of package logkey. Programs of examples and tests log as they
// like.
func TestLogLinesUseTheKeys(t *testing.T) {
	t.Parallel()
	calls := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("../..", path)
		if d.IsDir() {
			switch rel {
			case "examples", "test", "ui", "tools", "durable/analyzer", ".git", "bin":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			keys, ok := keysOf(call)
			if ok {
				calls++
			}
			for _, key := range keys {
				if !isKey(key) {
					t.Errorf("%s: a key that is no constant of logkey", files.Position(key.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 40 {
		t.Errorf("found %d log calls: the test does not see them", calls)
	}
}

// keysOf returns the arguments of a log call that are keys, and whether it is one.
func keysOf(call *ast.CallExpr) ([]ast.Expr, bool) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil, false
	}
	if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "slog" {
		if slices.Contains(attrs, f.Sel.Name) {
			return call.Args[:1], true
		}
	}
	skip, ok := loggers[f.Sel.Name]
	if !ok || !isLogger(f.X) || len(call.Args) < skip {
		return nil, false
	}
	var keys []ast.Expr
	for i := skip; i < len(call.Args); i += 2 {
		keys = append(keys, call.Args[i])
	}
	return keys, true
}

// isLogger tells by its name whether an expression is a logger.
func isLogger(e ast.Expr) bool {
	name := ""
	switch e := e.(type) {
	case *ast.Ident:
		name = e.Name
	case *ast.SelectorExpr:
		name = e.Sel.Name
	case *ast.CallExpr:
		return isLogger(e.Fun)
	}
	switch strings.ToLower(name) {
	case "log", "logger", "slog":
		return true
	}
	return false
}

func isKey(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "logkey"
}
