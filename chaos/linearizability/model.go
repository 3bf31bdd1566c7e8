package main

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// model is an order that changes by itself between the calls of clients. Its state is an order that has been at least
// there: it may have gone on since.
type model struct {
	// beyond is a version that no client was told. All later ones are counted as this one, so that there is an end.
	beyond int
}

// step returns the orders that the call may leave behind, or none when its answer is impossible. A call of unknown
// outcome that is never done is one that is done after all others.
func (m model) step(before order, c call) []order {
	if c.refused() {
		return []order{before}
	}
	var after []order
	for _, now := range m.goesOnTo(before) {
		then, told := now.do(c.Operation)
		if named, ok := explains(then, told, c); ok {
			after = append(after, m.bounded(named))
		}
	}
	return after
}

// explains tells whether the client may have been told this, and gives the order the id that the client was told.
func explains(then order, told answer, c call) (order, bool) {
	if !c.known() {
		return then, true
	}
	if !c.succeeded() {
		return then, told.httpStatus == c.HTTPStatus
	}
	if told != (answer{c.HTTPStatus, c.Version, c.Status}) || then.id != "" && then.id != c.OrderID {
		return then, false
	}
	then.id = c.OrderID
	return then, true
}

// goesOnTo returns the order itself, and all that it may become without a client.
func (m model) goesOnTo(from order) []order {
	seen := map[order]bool{from: true}
	found := []order{from}
	for i := 0; i < len(found); i++ {
		for _, to := range byItself[found[i].situation] {
			if next := m.bounded(found[i].next(to)); !seen[next] {
				seen[next] = true
				found = append(found, next)
			}
		}
	}
	return found
}

func (m model) bounded(o order) order {
	o.version = min(o.version, m.beyond)
	return o
}

// check looks for a sequence of the calls that respects their times and that the model can take. With an Illegal it
// returns the first call that has no place in the longest such sequence.
func (h history) check(within time.Duration) (porcupine.CheckResult, call) {
	m := model{beyond: h.newest() + 1}
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{order{}} },
		Step: func(state, input, _ interface{}) []interface{} {
			var states []interface{}
			for _, after := range m.step(state.(order), input.(call)) {
				states = append(states, after)
			}
			return states
		},
	}
	result, found := porcupine.CheckOperationsVerbose(nondeterministic.ToModel(), h.operations(), within)
	if result != porcupine.Illegal {
		return result, call{}
	}
	return result, h.firstUnexplained(found)
}

// operations leaves out calls without a known outcome that add nothing: reads, and all but the first of each other
// operation. An order is placed, taken back and completed at most once, so the first one, which may be done at any later
// time, stands for all.
func (h history) operations() []porcupine.Operation {
	var operations []porcupine.Operation
	pending := map[string]bool{read: true}
	for _, c := range h {
		if !c.known() {
			if pending[c.Operation] {
				continue
			}
			pending[c.Operation] = true
		}
		began, ended := c.interval()
		operations = append(operations, porcupine.Operation{ClientId: c.Client, Input: c, Call: began, Return: ended})
	}
	return operations
}

func (h history) firstUnexplained(found porcupine.LinearizationInfo) call {
	var longest []porcupine.Operation
	for _, sequences := range found.PartialLinearizationsOperations() {
		for _, sequence := range sequences {
			if len(sequence) > len(longest) {
				longest = sequence
			}
		}
	}
	explained := map[call]bool{}
	for _, operation := range longest {
		explained[operation.Input.(call)] = true
	}
	first := call{}
	for _, c := range h {
		if c.known() && !explained[c] && (first.Ended == 0 || c.Ended < first.Ended) {
			first = c
		}
	}
	return first
}
