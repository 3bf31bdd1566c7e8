# $1 is the server and $2 the order; what is left are options of curl.
url=$1 order=$2
shift 2
curl -sS "$@" -H 'Content-Type: application/json' -d "$order" -D head -o /dev/null -w '%{http_code}\n' "$url/orders"
location=$(tr -d '\r' <head | sed -n 's/^[Ll]ocation: //p')
curl -sS "$@" -w '\n' -o body -w '%{http_code}\n' "$url$location"
cat body
