// Package analyzer finds code in orchestrations that does not do the same when it is replayed (O-26): the clock, chance,
// the environment, goroutines, channels, locks, the order of maps, I/O, state that is shared. Each finding says what
// to use instead. Command weirvet runs it, by itself or for go vet.
//
// It looks at functions that take a *durable.Context, with the function literals in them, and at the functions of the
// same package that they call. Function literals that take a context.Context are left alone: they are steps and
// activities, which may do anything. A finding that is none is silenced by a comment on its line or the line above:
//
//	//weir:deterministic the map has one entry
package analyzer

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"
)

// Analyzer is the check.
var Analyzer = &analysis.Analyzer{
	Name:     "weirdeterminism",
	Doc:      "find code in orchestrations that does not do the same when it is replayed",
	URL:      "https://pkg.go.dev/github.com/weir-dev/weir/durable/analyzer",
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      run,
}

const (
	durablePath = "github.com/weir-dev/weir/durable"
	silencer    = "//weir:deterministic"
)

// checker is the state of one pass.
type checker struct {
	pass *analysis.Pass
	// helpers are the package's functions that an orchestration may call as its own, and written the package's variables
	// that are assigned to somewhere.
	helpers map[*types.Func]*ast.FuncDecl
	written map[*types.Var]bool
	// impure tells why a helper is not to be called; "" that it may be.
	impure map[*types.Func]string
	silent map[string]map[int]bool // lines, by file
}

func run(pass *analysis.Pass) (any, error) {
	if !imports(pass.Pkg) {
		return nil, nil
	}
	c := &checker{
		pass: pass, helpers: map[*types.Func]*ast.FuncDecl{}, written: map[*types.Var]bool{}, impure: map[*types.Func]string{},
		silent: map[string]map[int]bool{},
	}
	c.readComments()
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.FuncDecl)(nil), (*ast.AssignStmt)(nil), (*ast.IncDecStmt)(nil), (*ast.UnaryExpr)(nil)}, c.collect)
	in.WithStack([]ast.Node{(*ast.FuncDecl)(nil), (*ast.FuncLit)(nil)}, func(n ast.Node, push bool, stack []ast.Node) bool {
		if !push {
			return false
		}
		typ, body := function(n)
		if body == nil || !c.takes(typ, isDurableContext) {
			return true
		}
		c.check(body)
		return false // what is in it was looked at
	})
	return nil, nil
}

// imports tells whether a package can have orchestrations at all.
func imports(pkg *types.Package) bool {
	for _, p := range pkg.Imports() {
		if p.Path() == durablePath {
			return true
		}
	}
	return false
}

func function(n ast.Node) (*ast.FuncType, *ast.BlockStmt) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		return n.Type, n.Body
	case *ast.FuncLit:
		return n.Type, n.Body
	}
	return nil, nil
}

func (c *checker) readComments() {
	for _, f := range c.pass.Files {
		for _, group := range f.Comments {
			for _, comment := range group.List {
				reason, ok := strings.CutPrefix(comment.Text, silencer)
				if !ok {
					continue
				}
				if strings.TrimSpace(reason) == "" {
					c.pass.Reportf(comment.Pos(), "%s needs a reason", silencer)
				}
				at := c.pass.Fset.Position(comment.Pos())
				if c.silent[at.Filename] == nil {
					c.silent[at.Filename] = map[int]bool{}
				}
				c.silent[at.Filename][at.Line], c.silent[at.Filename][at.Line+1] = true, true
			}
		}
	}
}

func (c *checker) reportf(at token.Pos, format string, args ...any) {
	where := c.pass.Fset.Position(at)
	if !c.silent[where.Filename][where.Line] {
		c.pass.Reportf(at, format, args...)
	}
}

// collect notes what the package has: helpers, and variables that do not stay as they are declared.
func (c *checker) collect(n ast.Node) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if f, ok := c.pass.TypesInfo.Defs[n.Name].(*types.Func); ok && n.Body != nil && !c.takes(n.Type, isDurableContext) && !c.takes(n.Type, isContext) {
			c.helpers[f] = n
		}
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			c.writes(left)
		}
	case *ast.IncDecStmt:
		c.writes(n.X)
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			c.writes(n.X) // whoever has the address may write
		}
	}
}

func (c *checker) writes(e ast.Expr) {
	if v := c.global(e); v != nil {
		c.written[v] = true
	}
}

// global is the package's variable that an expression is, or is a part of.
func (c *checker) global(e ast.Expr) *types.Var {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.IndexExpr:
			e = x.X
			continue
		case *ast.StarExpr:
			e = x.X
			continue
		case *ast.SelectorExpr:
			if _, field := c.pass.TypesInfo.Selections[x]; field {
				e = x.X
				continue
			}
			return c.variable(x.Sel)
		case *ast.Ident:
			return c.variable(x)
		}
		return nil
	}
}

// variable is the package-level variable, of this package or another, that an identifier names.
func (c *checker) variable(id *ast.Ident) *types.Var {
	v, ok := c.pass.TypesInfo.Uses[id].(*types.Var)
	if !ok || v.IsField() || v.Pkg() == nil || v.Parent() != v.Pkg().Scope() {
		return nil
	}
	return v
}

// --- types ---------------------------------------------------------------------------------------

func (c *checker) takes(f *ast.FuncType, is func(types.Type) bool) bool {
	for _, p := range f.Params.List {
		if is(c.pass.TypesInfo.TypeOf(p.Type)) {
			return true
		}
	}
	return false
}

func named(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

func isDurableContext(t types.Type) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	return ok && named(p.Elem(), durablePath, "Context")
}

func isContext(t types.Type) bool { return named(t, "context", "Context") }

// isMap tells whether ranging over a type has no order: a map, or the keys, values or pairs of one.
func (c *checker) unordered(e ast.Expr) bool {
	t := c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	if _, ok := t.Underlying().(*types.Map); ok {
		return true
	}
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	return ok && c.isMapsSeq(call)
}

func (c *checker) isMapsSeq(call *ast.CallExpr) bool {
	f := typeutil.StaticCallee(c.pass.TypesInfo, call)
	if f == nil || f.Pkg() == nil || f.Pkg().Path() != "maps" {
		return false
	}
	return f.Name() == "Keys" || f.Name() == "Values" || f.Name() == "All"
}

// --- the check -----------------------------------------------------------------------------------

// check looks at the body of an orchestration's function.
func (c *checker) check(body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return !c.takes(n.Type, isContext) // a step may do anything
		case *ast.GoStmt:
			c.reportf(n.Pos(), "a goroutine runs beside the orchestration, in no order that a replay could repeat: use durable.Go")
			return false
		case *ast.SelectStmt:
			c.reportf(n.Pos(), "select chooses at random and waits for nothing that the history knows: use durable.First with futures")
			c.bodies(n)
			return false
		case *ast.SendStmt:
			c.reportf(n.Pos(), "sending on a channel is not recorded: branches of an orchestration share variables, or use futures")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.reportf(n.Pos(), "receiving from a channel waits for what the history does not know: wait for a future, or for an Event")
			}
		case *ast.RangeStmt:
			c.ranges(n, body)
		case *ast.ForStmt:
			c.loops(n)
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				c.assigns(left)
			}
		case *ast.IncDecStmt:
			c.assigns(n.X)
		case *ast.CallExpr:
			c.calls(n, body)
		case *ast.Ident:
			c.reads(n)
		}
		return true
	})
}

// bodies looks at what the cases of a select do, but not at their channels: the select is wrong as a whole.
func (c *checker) bodies(s *ast.SelectStmt) {
	for _, clause := range s.Body.List {
		if comm, ok := clause.(*ast.CommClause); ok {
			c.check(&ast.BlockStmt{Lbrace: comm.Pos(), List: comm.Body, Rbrace: comm.End()})
		}
	}
}

func (c *checker) calls(call *ast.CallExpr, body *ast.BlockStmt) {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := c.pass.TypesInfo.Uses[id].(*types.Builtin); ok {
			if b.Name() == "close" || b.Name() == "make" && len(call.Args) > 0 && c.isChannel(call.Args[0]) {
				c.reportf(call.Pos(), "channels are not recorded: use futures, or an Event")
			}
			return
		}
	}
	f := typeutil.StaticCallee(c.pass.TypesInfo, call)
	if f == nil {
		return
	}
	f = f.Origin()
	if why := forbidden(f); why != "" {
		c.reportf(call.Pos(), "%s", why)
		return
	}
	if why := c.helper(f); why != "" {
		c.reportf(call.Pos(), "%s is called by an orchestration: %s", f.Name(), why)
		return
	}
	if f.Pkg() != nil && f.Pkg().Path() == "slices" && f.Name() == "Collect" && len(call.Args) == 1 {
		if seq, ok := ast.Unparen(call.Args[0]).(*ast.CallExpr); ok && c.isMapsSeq(seq) && !c.sortedLater(call, body) {
			c.reportf(call.Pos(), "the order of a map is another each time: use slices.Sorted")
		}
	}
}

func (c *checker) isChannel(e ast.Expr) bool {
	t := c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Chan)
	return ok
}

// sortedLater tells whether what a call returns is assigned to a variable that is sorted somewhere in the body.
func (c *checker) sortedLater(call *ast.CallExpr, body *ast.BlockStmt) bool {
	sorted := false
	ast.Inspect(body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Rhs) == 1 && ast.Unparen(a.Rhs[0]) == call {
			if id, ok := a.Lhs[0].(*ast.Ident); ok {
				sorted = c.sorts(body, c.pass.TypesInfo.ObjectOf(id))
			}
		}
		return !sorted
	})
	return sorted
}

// sorts tells whether a body sorts what a variable holds.
func (c *checker) sorts(body *ast.BlockStmt, v types.Object) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		f := typeutil.StaticCallee(c.pass.TypesInfo, call)
		if f == nil || f.Pkg() == nil || (f.Pkg().Path() != "sort" && (f.Pkg().Path() != "slices" || !strings.HasPrefix(f.Name(), "Sort"))) {
			return true
		}
		ast.Inspect(call.Args[0], func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			found = found || ok && v != nil && c.pass.TypesInfo.ObjectOf(id) == v
			return true
		})
		return true
	})
	return found
}

// ranges looks at loops over maps and channels. The order of a map matters when the body decides something, or lists
// what it finds; a sum, or another map, is the same in any order.
func (c *checker) ranges(r *ast.RangeStmt, body *ast.BlockStmt) {
	if c.isChannel(r.X) {
		c.reportf(r.Pos(), "receiving from a channel waits for what the history does not know: wait for a future, or for an Event")
		return
	}
	if !c.unordered(r.X) {
		return
	}
	const instead = "the order of a map is another each time, and %s: range over slices.Sorted(maps.Keys(m))"
	why := ""
	ast.Inspect(r.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if c.decides(n) {
				why = "this loop calls what is recorded"
			}
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				if v := c.appended(right, n.Lhs[min(i, len(n.Lhs)-1)]); v != nil && !within(v, r) && !c.sorts(body, v) && why == "" {
					why = "this loop lists what it finds without sorting it"
				}
			}
		}
		return true
	})
	if why != "" {
		c.reportf(r.Pos(), instead, why)
	}
}

// decides tells whether a call is one on the orchestration's context, is given it, or waits for a future.
func (c *checker) decides(call *ast.CallExpr) bool {
	for _, a := range call.Args {
		if isDurableContext(c.pass.TypesInfo.TypeOf(a)) {
			return true
		}
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if isDurableContext(c.pass.TypesInfo.TypeOf(sel.X)) {
		return true
	}
	p, ok := types.Unalias(c.pass.TypesInfo.TypeOf(sel.X)).(*types.Pointer)
	if !ok {
		return false
	}
	n, ok := types.Unalias(p.Elem()).(*types.Named)
	return ok && named(n.Origin(), durablePath, "Future")
}

// appended is the variable that an assignment appends to.
func (c *checker) appended(right, left ast.Expr) types.Object {
	call, ok := ast.Unparen(right).(*ast.CallExpr)
	if !ok {
		return nil
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok || id.Name != "append" {
		return nil
	}
	if to, ok := ast.Unparen(left).(*ast.Ident); ok {
		return c.pass.TypesInfo.ObjectOf(to)
	}
	return nil
}

func within(v types.Object, n ast.Node) bool { return v.Pos() >= n.Pos() && v.Pos() < n.End() }

// loops finds loops that have no end and do something in each round: their history grows for ever.
func (c *checker) loops(f *ast.ForStmt) {
	if f.Cond != nil || !c.ends(f) {
		return
	}
	does := false
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		does = does || ok && c.decides(call)
		return true
	})
	if does {
		c.reportf(f.Pos(), "this loop has no end, and the history grows with each round: return what ContinueAsNew returns after some rounds")
	}
}

// ends tells that nothing leaves a loop: no return, break out of it, goto or panic.
func (c *checker) ends(f *ast.ForStmt) bool {
	endless := true
	var walk func(n ast.Node, inner bool)
	walk = func(n ast.Node, inner bool) {
		ast.Inspect(n, func(x ast.Node) bool {
			switch x := x.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ReturnStmt:
				endless = false
			case *ast.BranchStmt:
				if x.Tok == token.GOTO || x.Label != nil || x.Tok == token.BREAK && !inner {
					endless = endless && x.Tok == token.CONTINUE
				}
			case *ast.CallExpr:
				if id, ok := x.Fun.(*ast.Ident); ok && id.Name == "panic" {
					endless = false
				}
			case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
				if x != n {
					walk(x, true)
					return false
				}
			}
			return true
		})
	}
	walk(f.Body, false)
	return endless
}

// assigns finds writes to variables that all instances share.
func (c *checker) assigns(left ast.Expr) {
	if v := c.global(left); v != nil {
		c.reportf(left.Pos(), "%s is shared by all instances and lost with the process: keep state in local variables, and pass it on as input", v.Name())
	}
}

// reads finds reads of variables that do not stay as they are declared.
func (c *checker) reads(id *ast.Ident) {
	v := c.variable(id)
	if v == nil {
		return
	}
	if v.Pkg().Path() == "crypto/rand" {
		c.reportf(id.Pos(), "%s", chance)
		return
	}
	if v.Pkg() == c.pass.Pkg && c.written[v] && !c.assigned(id) {
		c.reportf(id.Pos(), "%s changes while the program runs, and a replay sees another value: pass it as input, or read it in a step", v.Name())
	}
}

// assigned tells whether an identifier is what is written to, which is reported as such.
func (c *checker) assigned(id *ast.Ident) bool {
	for _, f := range c.pass.Files {
		if id.Pos() < f.FileStart || id.Pos() >= f.FileEnd {
			continue
		}
		found := false
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					found = found || id.Pos() >= left.Pos() && id.Pos() < left.End() && c.global(left) == c.variable(id)
				}
			case *ast.IncDecStmt:
				found = found || id.Pos() >= n.X.Pos() && id.Pos() < n.X.End()
			}
			return !found
		})
		return found
	}
	return false
}

// helper tells why a function of this package must not be called by an orchestration: something that it does, or that a
// function does that it calls. "" if it may be.
func (c *checker) helper(f *types.Func) string {
	decl := c.helpers[f]
	if decl == nil {
		return ""
	}
	if why, known := c.impure[f]; known {
		return why
	}
	c.impure[f] = "" // if it calls itself
	why := ""
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok && (c.takes(lit.Type, isContext) || c.takes(lit.Type, isDurableContext)) {
			return false
		}
		call, ok := n.(*ast.CallExpr)
		if !ok || why != "" {
			return why == ""
		}
		called := typeutil.StaticCallee(c.pass.TypesInfo, call)
		if called == nil {
			return true
		}
		if at := c.pass.Fset.Position(call.Pos()); c.silent[at.Filename][at.Line] {
			return true
		}
		if why = forbidden(called.Origin()); why == "" {
			if inner := c.helper(called.Origin()); inner != "" {
				why = fmt.Sprintf("it calls %s: %s", called.Name(), inner)
			}
		}
		return true
	})
	c.impure[f] = why
	return why
}
