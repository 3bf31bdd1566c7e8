package main

// situation is what an order and its partners are in: one row of "Every state" in docs/fulfilment.md.
type situation struct{ status, stock, payment string }

var (
	requested = situation{"PENDING", "REQUESTED", ""}
	reserved  = situation{"PENDING", "RESERVED", "REQUESTED"}
	declined  = situation{"PENDING", "RELEASING", "DECLINED"}
	confirmed = situation{"CONFIRMED", "RESERVED", "CAPTURED"}

	releasing    = situation{"CANCELLING", "RELEASING", ""}
	undoingBoth  = situation{"CANCELLING", "RELEASING", "REFUNDING"}
	undoingMoney = situation{"CANCELLING", "RELEASED", "REFUNDING"}
	undoingStock = situation{"CANCELLING", "RELEASING", "REFUNDED"}

	stuckReleasing = situation{"STUCK", "RELEASING", ""}
	stuckDeclined  = situation{"STUCK", "RELEASING", "DECLINED"}
	stuckBoth      = situation{"STUCK", "RELEASING", "REFUNDING"}
	stuckMoney     = situation{"STUCK", "RELEASED", "REFUNDING"}
	stuckStock     = situation{"STUCK", "RELEASING", "REFUNDED"}

	outOfStock = situation{"REJECTED", "REJECTED", ""}
	notPaid    = situation{"REJECTED", "RELEASED", "DECLINED"}
	released   = situation{"CANCELLED", "RELEASED", ""}
	refunded   = situation{"CANCELLED", "RELEASED", "REFUNDED"}
	shipped    = situation{"COMPLETED", "SHIPPED", "CAPTURED"}
)

// byItself lists where the answers of partners, deadlines and operators lead to, each with one version more. Only a
// client's cancel leaves CONFIRMED for CANCELLING, and only a client's complete leads to COMPLETED. How often a
// compensation was asked for is left out: the model permits any number of repetitions.
var byItself = map[situation][]situation{
	requested: {reserved, outOfStock, releasing},
	reserved:  {confirmed, declined, undoingBoth},
	declined:  {notPaid, declined, stuckDeclined},

	releasing:    {released, releasing, stuckReleasing},
	undoingBoth:  {undoingMoney, undoingStock, undoingBoth, stuckBoth},
	undoingMoney: {refunded, undoingMoney, stuckMoney},
	undoingStock: {refunded, undoingStock, stuckStock},

	stuckReleasing: {released, releasing},
	stuckDeclined:  {notPaid, declined},
	stuckBoth:      {stuckMoney, stuckStock, undoingBoth},
	stuckMoney:     {refunded, undoingMoney},
	stuckStock:     {refunded, undoingStock},
}

// takenBack is where a client's cancel leads to.
var takenBack = map[situation]situation{
	requested: releasing,
	reserved:  undoingBoth,
	confirmed: undoingBoth,
}

// order is an order at one version. Version 0 is an order that is not there. The id is empty until a client was told it.
type order struct {
	id      string
	version int
	situation
}

func (o order) next(to situation) order {
	return order{o.id, o.version + 1, to}
}

// answer is what a client is told: an HTTP status and, when it is a 2xx, a version and a status of the order.
type answer struct {
	httpStatus int
	version    int
	status     string
}

func (o order) told(httpStatus int) answer {
	return answer{httpStatus, o.version, o.status}
}

// do is the promise of the API: what an operation makes of an order, and what its client is told.
func (o order) do(operation string) (order, answer) {
	if operation == place {
		accepted := order{o.id, 1, requested}
		if o.version == 0 {
			return accepted, accepted.told(201)
		}
		return o, accepted.told(201)
	}
	if o.version == 0 {
		return o, answer{httpStatus: 404}
	}
	switch operation {
	case cancel:
		return o.cancel()
	case complete:
		return o.complete()
	default:
		return o, o.told(200)
	}
}

func (o order) cancel() (order, answer) {
	if o.status == "REJECTED" || o.status == "COMPLETED" {
		return o, answer{httpStatus: 409}
	}
	if to, ok := takenBack[o.situation]; ok {
		o = o.next(to)
	}
	if o.status == "CANCELLED" {
		return o, o.told(200)
	}
	return o, o.told(202)
}

func (o order) complete() (order, answer) {
	switch o.situation {
	case shipped:
		return o, o.told(200)
	case confirmed:
		o = o.next(shipped)
		return o, o.told(200)
	default:
		return o, answer{httpStatus: 409}
	}
}
