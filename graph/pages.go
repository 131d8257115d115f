package graph

import "github.com/weir-dev/weir/graph/model"

// paged is what a connection is made of.
type paged[N, E any] struct {
	nodes []N
	edges []E
	info  *model.PageInfo
}

// pageOf makes a page of what was read forwards, which is one more than the first so many that were asked for if there is
// more. cursor names the place of one, node is its form in the API, and edge puts the two together.
func pageOf[T, N, E any](found []T, first int, after *string, cursor func(T) string, node func(T) N, edge func(cursor string, node N) E) paged[N, E] {
	more := len(found) > first
	found = found[:min(first, len(found))]
	p := paged[N, E]{make([]N, len(found)), make([]E, len(found)), &model.PageInfo{HasNextPage: more, HasPreviousPage: after != nil}}
	for n, t := range found {
		at := cursor(t)
		p.nodes[n] = node(t)
		p.edges[n] = edge(at, p.nodes[n])
		if n == 0 {
			p.info.StartCursor = &at
		}
		p.info.EndCursor = &at
	}
	return p
}
