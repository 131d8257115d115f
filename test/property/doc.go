// Package property holds Weir against small models of itself, with operations drawn at random.
//
//	go test ./test/property                             a part, within a minute
//	make prop                                           10,000 sequences
//	go test ./test/property -run TestSequences/Lanes/07 -rapid.seed=4711   one sequence again
package property
