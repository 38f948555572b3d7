do $unwatch$
declare
  name text;
begin
  foreach name in array array['connector_call'] loop
    if to_regclass(name) is not null then
      perform changefeed.unwatch(to_regclass(name));
    end if;
  end loop;
end
$unwatch$;
