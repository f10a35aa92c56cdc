-- Of two indexes that cost the same the planner takes the one that was made last. While the table is small that is any that holds namespace and id;
-- a plan that was made then is kept, and would read a whole index later. So the one by which runs are found is made last.

/*{*/ alter table perdure.runs drop constraint if exists runs_pkey, add primary key (namespace, id); /*| }*/
